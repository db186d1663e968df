"""A training run: its beginning and end, config, links, artifacts, and the rollouts in it."""

from __future__ import annotations

import os

from tracehouse import config as configuration
from tracehouse import starting
from tracehouse.clock import now
from tracehouse.exceptions import ArgumentError, NotActiveError
from tracehouse.exits import status_of
from tracehouse.facts import LINKS, RunFacts
from tracehouse.ids import hex_id, uuid4
from tracehouse.mapping import variables
from tracehouse.rollouts import RolloutIds
from tracehouse.run import Run
from tracehouse.session import NoSession, Session, check_id, open_run
from tracehouse.sidework import SideWork
from tracehouse.spans import attributes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

    from tracehouse.redact import Redaction

STATUSES = ("running", "finished", "failed", "crashed", "killed")
ARTIFACT_KINDS = ("json", "text", "params")
# what tells worker processes of a run where it is; the word "disabled" where it is nowhere
RUN_VARIABLE = "TRACEHOUSE_RUN"


class TrainingRun(RunFacts):
    """A training run. The same ``client_run_id`` again resumes it, also in another process: automatic steps go on after the last, and
    ``config``, ``summary`` (the last values), ``hf_dataset`` and its like are read back from the spool, as far as they are still there.

    ``capture_env`` records the artifact ``environment``, and ``system_metrics`` a sample of the machine every
    ``system_metrics_interval`` seconds; both in the background. ``auto_finish=False`` (or TRACEHOUSE_DISABLE_AUTOFINISH=1) leaves the
    status alone at the process's end. ``flush_threshold`` has no meaning here: nothing is held back. The other arguments are those
    of ``Run``, and so are the errors. ``config`` is a dict whose items, when set, are recorded; so is ``summary``.

    Of several processes that open one run (ranks of a distributed job) each may log; its status is told by the one that opened it
    first, and by rank 0; the others tell a failure only.

    >>> with cm.TrainingRun(project="rl", name="ppo-v1", config={"lr": 1e-5}) as run:
    ...     run.log({"loss": 0.5})
    ...     run.config["lr"] = 2e-5
    ...     with run.rollout(step=0, group="sums", sample=3) as trace:
    ...         said = trace.log_user("2 + 2?")
    ...     run.link_dataset("me/sums", split="train")
    ...     run.link_model("me/ppo-v1")
    ...     run.add_artifact("seeds", data=[1, 2])
    ...     card, pushed = run.model_card(), run.push_model_card()
    ...     saved = run.flush() and run.finish(status="finished")
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        client_run_id: str | None = None,
        hf_dataset: str | None = None,
        hf_dataset_split: str | None = None,
        hf_model: str | None = None,
        hf_model_revision: str | None = None,
        api_key: str | None = None,
        api_base: str | None = None,
        machine_id: str | None = None,
        hostname: str | None = None,
        agent_version: str | None = None,
        transport: object = None,
        auto_create: bool = True,
        auto_finish: bool = True,
        flush_threshold: int = 500,
        capture_env: bool = True,
        system_metrics: bool = True,
        system_metrics_interval: float = 15.0,
        spool_dir: str | os.PathLike[str] | None = None,
        anonymous: bool | None = None,
        mode: str | None = None,
        redact: Redaction = None,
    ) -> None:
        settings = configuration.resolve(
            os.environ,
            api_key=api_key,
            api_base=api_base,
            machine_id=machine_id,
            hostname=hostname,
            agent_version=agent_version,
            spool_dir=spool_dir,
            anonymous=anonymous,
            mode=mode,
            redact=redact,
            transport=transport,
        )
        held = attributes_of(variables(config), "config")
        if settings.redactor is not None:
            project, name = settings.redactor.optional(project), settings.redactor.optional(name)
        links = dict(zip(LINKS, (hf_dataset, hf_dataset_split, hf_model, hf_model_revision)))
        self.flush_threshold = flush_threshold
        chosen = check_id("client_run_id", str(client_run_id or f"py-{uuid4()}"))
        self._begin(open_run(chosen, settings, project, name), project, name)
        self._begin_facts(held, links)
        self._is_active = auto_create
        self._go_on_after_others()
        if auto_create:
            self._create({"config": held or None, **links})
            self._tell_status(auto_finish)
            os.environ[RUN_VARIABLE] = self._session.directory or "disabled"
            beside = self._owns_status and not settings.disabled
            self._sidework.start(
                environment=capture_env and beside,
                interval=system_metrics_interval if system_metrics and beside else None,
            )
        starting.tell(self._session)

    def _begin(self, session: Session | NoSession, project: str | None, name: str | None) -> None:
        known = session.log.files.manifest if isinstance(session, Session) and session.resumed else None
        settings = session.settings
        self.machine_id = settings.machine_id
        self.hostname = settings.hostname
        self.agent_version = settings.agent_version
        self.client_run_id = session.id
        self.project = project if project is not None or known is None else known.project
        self.name = name or (known.name if known is not None else None) or f"run-{hex_id(8)}"
        self._session = session
        self._log = session.log
        self._append = session.append
        self._redactor = settings.redactor
        self._rollout_ids = RolloutIds(session.id)
        self._sidework = SideWork(self._add_environment, self._log_sample)
        self._run_id: str | None = None
        self._is_active = True
        self._is_finished = False
        self._owns_status = True
        if not session.resumed and self._log.next_step is None:
            self._log.next_step = 0

    def begin_attached(self, session: Session | NoSession) -> None:
        """Make this object a part of a run that another process began (``attach_run`` is what users call)."""
        self.flush_threshold = 0
        self._begin(session, None, None)
        self._begin_facts({}, {})
        self._owns_status = False

    def _create(self, facts: dict[str, Any]) -> None:
        body: dict[str, Any] = {
            "name": self.name,
            "client_run_id": self.client_run_id,
            "started_at": now(),
            "project": self.project,
            **{fact: self._cleaned(value) for fact, value in facts.items()},
        }
        told = {name: value for name, value in body.items() if value is not None}
        self._session.record("run", {name: value if name == "config" else str(value) for name, value in told.items()})

    def _tell_status(self, auto_finish: bool) -> None:
        self._owns_status = self._session.began_attempt or configuration.rank(os.environ) == 0
        if auto_finish and not configuration.truthy(os.environ.get("TRACEHOUSE_DISABLE_AUTOFINISH")):
            failures = ("failed", "crashed")
            self._session.tells = ("finished", *failures) if self._owns_status else failures

    @property
    def spool_path(self) -> str:
        """The directory that the records go to; "" when disabled."""
        return self._session.directory

    @property
    def run_id(self) -> str | None:
        """The server's id of this run; None until an agent has created it there from this spool."""
        if self._run_id is None:
            self._run_id = self._session.server_id("run", self.client_run_id)
        return self._run_id

    @run_id.setter
    def run_id(self, value: str | None) -> None:
        self._run_id = value

    def _log_sample(self, sample: int, values: Mapping[str, Any]) -> None:
        # counted by themselves: the system's figures take no step of the user's
        self._session.record("metrics", {"step": sample, "wall_time": now(), "values": dict(values)})

    def rollout(
        self,
        *,
        step: Any = None,
        name: str | None = None,
        session_id: str | None = None,
        group: Any = None,
        sample: Any = None,
        model: str | None = None,
        scaffold: str | None = None,
        auto_create: bool = True,
        api_key: str | None = None,
    ) -> Run:
        """A trace that belongs to this run and step (by default the next automatic one, which is not taken by it).

        Its records lie with the run's own. ``name`` is its task_name; ``session_id`` is unique unless given. ``group`` (the prompt's)
        and ``sample`` (which attempt at it) become metadata of the trace. ``api_key`` is ignored: it is the run's.
        """
        if not self._is_active:
            raise NotActiveError("run was not created — no run_id")
        at = self._next_step() if step is None else step
        run = Run.__new__(Run)
        run.begin_rollout(
            self._session,
            check_id("session_id", str(session_id or self._rollout_ids.take(at, self._session.origin))),
            project=self.project,
            scaffold=scaffold,
            task_name=self._cleaned(name or f"rollout step {at}"),
            model=model,
            step=at,
            metadata={key: value for key, value in (("group", group), ("sample", sample)) if value is not None},
            auto_create=auto_create,
        )
        return run

    def add_artifact(self, name: str, *, data: Any, kind: str = "json") -> None:
        """Record a named piece of data: ``kind`` "json" (any value), "text", or "params". ArgumentError for another kind."""
        if kind not in ARTIFACT_KINDS:
            raise ArgumentError(f"kind must be one of {ARTIFACT_KINDS}, got {kind!r}")
        self._record("artifact", {"name": self._cleaned(name), "kind": kind, "data": self._cleaned(data)})

    def _add_environment(self, found: Any) -> None:
        data = found if self._redactor is None else self._redactor.texts(found)
        self._record("artifact", {"name": "environment", "kind": "json", "data": data})

    def model_card(self) -> str:
        """The run as a Hugging Face model card (Markdown), from its config, links and the last values recorded here."""
        from tracehouse import model_card

        return model_card.of(self, self._session)

    def push_model_card(self, *, commit_message: str | None = None) -> dict[str, Any]:
        """Have the server push the model card to the linked model's repository, once the run is uploaded."""
        message = {} if commit_message is None else {"commit_message": self._cleaned(commit_message)}
        self._record("push_model_card", message)
        return {"recorded": True, "detail": "the model card is pushed when this run is uploaded"}

    def flush(self) -> bool:
        """Wait for the disk. True if all that was logged so far, rollouts and media included, is there to stay."""
        return self._session.flush()

    def finish(self, *, status: str = "finished") -> bool:
        """End the run with a status and wait for the disk: True if all is there to stay, rollouts and media included.

        Once is enough: later calls change nothing. A forked child, and a run from ``attach_run``, only ends its own part.
        Raises ArgumentError for a status that is none of running, finished, failed, crashed, killed.
        """
        if not self._is_active:
            raise NotActiveError("run is not active")
        self._sidework.wait()
        self.end(status)
        return self.flush()

    def end(self, status: str) -> None:
        """``finish`` without waiting for the disk."""
        if status not in STATUSES:
            raise ArgumentError(f"status must be one of {STATUSES}, got {status!r}")
        if self._is_finished or not self._is_active:
            return
        self._sidework.stop()
        tells = self._owns_status and not self._session.in_child
        if tells:
            self._session.record("run_patch", {"status": status, "ended_at": now()})
        self._is_finished = True
        if os.environ.get(RUN_VARIABLE) in (self._session.directory, "disabled"):
            del os.environ[RUN_VARIABLE]
        self._session.close(for_all=tells)

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(status_of(error))
