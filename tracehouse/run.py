"""A chat trace: what is said and done in one session, step by step, into the spool."""

from __future__ import annotations

import os

from tracehouse import config, starting
from tracehouse.chat import ChatLog
from tracehouse.clock import now
from tracehouse.exceptions import ArgumentError, NotActiveError
from tracehouse.exits import status_of, told
from tracehouse.ids import uuid4
from tracehouse.session import NoSession, Session, check_id
from tracehouse.spans import attributes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

    from tracehouse.redact import Redaction

OUTCOMES = ("good", "bad", "neutral")
SCAFFOLD = "python-sdk"
_NUMBERS = ("rollout_step",)


class Run(ChatLog):
    """A trace. The same ``session_id`` again resumes it, also in another process.

    ``api_key`` (or TRACEHOUSE_API_KEY) names whose trace it is; without one, whoever uploads the spool decides. ``run_id`` is the
    *server's* id of a training run, which ``TrainingRun.rollout`` knows better. ``spool_dir`` is where the records go (or
    TRACEHOUSE_SPOOL_DIR); ``mode="disabled"`` (or TRACEHOUSE_MODE) records nothing. ``anonymous=True`` (or TRACEHOUSE_ANON=1) makes the
    trace public when it is uploaded. ``redact`` is applied to all text first: a function, or patterns, "keys" and "emails"
    among them. ``auto_create=False`` records spans only, for a trace that something else creates.

    Raises ArgumentError for arguments that cannot be right, and SpoolError for a ``spool_dir`` that is a file. Never for the disk's sake.

    >>> with cm.Run(project="my-bot", session_id="run-002", model="m-1") as run:
    ...     asked = run.log_user("how do I install jq?")
    ...     thought = run.log_thinking("they may be on a Mac")
    ...     call = run.log_tool_use("Bash", {"command": "brew info jq"})
    ...     result = run.log_tool_result("jq: stable 1.8", tool="Bash", parent_span_id=call.id)
    ...     log = run.log_attachment("brew.log", {"lines": 40})
    ...     said = run.log_assistant("brew install jq")
    ...     run.flush()
    ...     run.finish(outcome="good", metadata={"reward": 1.0})
    True
    True
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        api_base: str | None = None,
        project: str | None = None,
        session_id: str | None = None,
        scaffold: str | None = None,
        task_name: str | None = None,
        model: str | None = None,
        machine_id: str | None = None,
        hostname: str | None = None,
        agent_version: str | None = None,
        run_id: str | None = None,
        rollout_step: int | None = None,
        transport: object = None,
        auto_create: bool = True,
        spool_dir: str | os.PathLike[str] | None = None,
        anonymous: bool | None = None,
        mode: str | None = None,
        redact: Redaction = None,
    ) -> None:
        settings = config.resolve(
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
        chosen = check_id("session_id", str(session_id or f"py-{uuid4()}"))
        clean = settings.redactor
        if clean is not None:
            project, task_name = clean.optional(project), clean.optional(task_name)
        session: Session | NoSession
        if settings.disabled:
            session = NoSession("trace", chosen, settings)
        else:
            session = Session("trace", chosen, settings, project=project, name=task_name)
        self._begin(session, chosen, project, scaffold, task_name, model, run_id, rollout_step)
        if auto_create:
            self._create()
        starting.tell(session)

    def _begin(
        self,
        session: Session | NoSession,
        session_id: str,
        project: str | None,
        scaffold: str | None,
        task_name: str | None,
        model: str | None,
        run_id: str | None,
        rollout_step: object,
    ) -> None:
        settings = session.settings
        self.session_id = session_id
        self.project = project
        self.scaffold = scaffold or SCAFFOLD
        self.task_name = task_name
        self.model = model
        self.machine_id = settings.machine_id
        self.hostname = settings.hostname
        self.agent_version = settings.agent_version
        self.run_id = run_id
        self.rollout_step = rollout_step
        self._session = session
        self._append = session.append
        self._redactor = settings.redactor
        self._trace_id: str | None = None
        self._is_created = False
        self._is_finished = False

    def begin_rollout(
        self,
        session: Session | NoSession,
        session_id: str,
        *,
        project: str | None,
        scaffold: str | None,
        task_name: str | None,
        model: str | None,
        step: object,
        metadata: dict[str, Any],
        auto_create: bool,
    ) -> None:
        """Make this object a rollout in the session of its run (``TrainingRun.rollout`` is what users call)."""
        self._begin(session, session_id, project, scaffold, task_name, model, None, step)
        if auto_create:
            self._create()
            self._patch({"metadata": metadata} if metadata else {})

    def _create(self) -> None:
        body = {
            "session_id": self.session_id,
            "project": self.project,
            "scaffold": self.scaffold,
            "task_name": self.task_name,
            "model": self.model,
            "run_id": self.run_id,
            "rollout_step": self.rollout_step,
        }
        if self._redactor is not None:
            body["scaffold"] = self._redactor.clean(self.scaffold)
            body["model"] = self._redactor.clean(self.model)
        body = {name: value if name in _NUMBERS else str(value) for name, value in body.items() if value is not None}
        self._session.record("trace", {**body, "started_at": now()})
        self._is_created = True

    @property
    def spool_path(self) -> str:
        """The directory that the records go to; "" when disabled."""
        return self._session.directory

    @property
    def trace_id(self) -> str | None:
        """The server's id of this trace; None until an agent has created it there from this spool."""
        if self._trace_id is None:
            self._trace_id = self._session.server_id("trace", self.session_id)
        return self._trace_id

    @trace_id.setter
    def trace_id(self, value: str | None) -> None:
        self._trace_id = value

    def flush(self) -> bool:
        """Wait for the disk. True if all that was logged so far is there to stay."""
        return self._session.flush()

    def finish(
        self,
        *,
        outcome: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        task_name: str | None = None,
        model: str | None = None,
        scaffold: str | None = None,
    ) -> bool:
        """End the trace, stating what is given, and wait for the disk: True if all is there to stay (a rollout leaves the waiting to
        its run). Once is enough: later calls change nothing. Raises ArgumentError for an outcome that is none of good, bad, neutral.
        """
        self.end(outcome, metadata, task_name, model, scaffold)
        return True if self._is_rollout else self.flush()

    def end(
        self,
        outcome: str | None = None,
        metadata: Any = None,
        task_name: str | None = None,
        model: str | None = None,
        scaffold: str | None = None,
    ) -> None:
        """``finish`` without waiting for the disk."""
        if outcome is not None and outcome not in OUTCOMES:
            raise ArgumentError(f"outcome must be one of {OUTCOMES}, got {outcome!r}")
        if self._is_finished:
            return
        patch = {
            "outcome": outcome,
            "metadata": None if metadata is None else attributes_of(metadata, "metadata"),
            "task_name": task_name,
            "model": model,
            "scaffold": scaffold,
        }
        self._patch({name: value for name, value in patch.items() if value is not None})
        self._is_finished = True
        if not self._is_rollout:
            self._session.close()

    def _patch(self, changes: dict[str, Any]) -> None:
        if not changes:
            return
        if not self._is_created:
            raise NotActiveError("run was not created — no trace_id")
        if self._redactor is not None:
            clean = self._redactor.clean
            changes = {name: value if name == "outcome" else clean(value) for name, value in changes.items()}
        self._session.record("trace_patch", {"session_id": self.session_id, **changes})

    @property
    def _is_rollout(self) -> bool:
        return self._session.kind == "run"

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and status_of(error) != "finished" and self._is_created:
            self.end("bad", {"error": told(error)})
        else:
            self.end()
