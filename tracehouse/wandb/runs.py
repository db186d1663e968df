"""``wandb.Run``: a training run under the names that wandb's users know."""

from __future__ import annotations

import os
import threading
import time

from tracehouse import history
from tracehouse.exceptions import ArgumentError
from tracehouse.exits import status_of
from tracehouse.metrics import as_step
from tracehouse.spool.releasing import releasing
from tracehouse.wandb import rows, told, watching
from tracehouse.wandb.configs import Config
from tracehouse.wandb.definitions import Definitions, Metric
from tracehouse.wandb.facts import RunFacts
from tracehouse.wandb.keeping import Saved
from tracehouse.wandb.runfiles import RunFiles
from tracehouse.wandb.summaries import Summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any, Callable

    from tracehouse.run import Run as Trace
    from tracehouse.training import TrainingRun
    from tracehouse.wandb.options import Options


class Run(RunFacts, RunFiles):
    """A run, as ``init`` begins it; ``training_run`` is what it writes to.

    ``step`` is the step that the next ``log`` without one gets. Uncommitted calls share it.

    >>> with wandb.init(project="demo") as run:
    ...     run.log({"loss": 0.5}, commit=False)
    ...     run.log({"acc": 0.9})
    ...     run.step
    1
    """

    config: Config
    summary: Summary

    def __init__(
        self,
        training_run: TrainingRun,
        options: Options,
        *,
        web_url: str,
        resumed: bool,
        first_step: int,
        ended: Callable[[Run], None],
    ) -> None:
        self.training_run = training_run
        self._options = options
        earlier = self._earlier_config() if resumed else {}
        self.config = Config({**earlier, **options.config}, training_run.config.update, options.allow_val_change)
        self._definitions = Definitions()
        self.summary = Summary(self._definitions, self._record_summary, self._earlier_values if resumed else None)
        self._web_url = web_url
        self._resumed = resumed
        self._step = first_step
        self._has_row = False
        self._ended = ended
        self._started = time.time()
        self._pid = self._lock_pid = os.getpid()
        self._lock = threading.RLock()
        self._dir: str | None = None
        self._saved = Saved(training_run)
        self._watched: list[watching.Watching] = []
        self._versions: dict[str, int] = {}
        self._artifacts: dict[str, Any] = {}
        self._alerts: dict[str, float] = {}
        self._is_finished = False

    @property
    def is_of_this_process(self) -> bool:
        """False in a forked child of the process that began it."""
        return self._pid == os.getpid()

    @property
    def step(self) -> int:
        """The step that the next ``log`` without one gets."""
        return self._step

    def log(
        self,
        data: Mapping[str, Any] | None = None,
        step: Any = None,
        commit: bool | None = None,
        sync: bool | None = None,
        **named: Any,
    ) -> None:
        """Record values of one step; what can be given: ``tracehouse.wandb.rows``.

        Each call is written at once. ``commit`` (by default True without ``step``, else False) says that the step is complete: the next
        call without ``step`` gets the next one. A ``step`` above the current one becomes the current one; one below is
        recorded as it is, and the current one stays. ArgumentError (a ValueError) for what is no dict, or a step that is no number.
        """
        values: Any = named.pop("values", data)
        told.ignored("run.log", named)
        if not (isinstance(values, dict) or hasattr(type(values), "keys")):
            raise ArgumentError(f"log takes a dict of names and values, got {values!r:.100}")
        at = self._take(step, step is None if commit is None else commit, len(values) > 0)
        if not values:
            return
        found = self._flat(values)
        self.training_run.log(found, step=at)
        self.summary.note(found)
        now = time.time()
        self.summary.note_facts({"_step": at, "_timestamp": now, "_runtime": round(now - self._started, 3)})

    @releasing("_lock")
    def _take(self, step: Any, commit: bool, has_values: bool) -> int:
        given = None if step is None else as_step(step)
        with self._locked():
            at = self._step if given is None else given
            if at > self._step:
                self._step, self._has_row = at, False
            if at == self._step:
                self._has_row = self._has_row or has_values
                if commit and self._has_row:
                    self._step, self._has_row = at + 1, False
        return at

    def _locked(self) -> threading.RLock:
        if self._lock_pid != os.getpid():
            # another thread may have held it when this process was forked
            self._lock, self._lock_pid = threading.RLock(), os.getpid()
        return self._lock

    def _flat(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if type(values) is dict and rows.PLAIN.issuperset(map(type, values.values())):
            return values if all(type(key) is str for key in values) else {str(key): values[key] for key in values}
        return rows.flatten(values)

    def log_at(self, data: Mapping[str, Any], step: int, wall_time: str | None = None) -> None:
        """Record values at a step, uncommitted, and at a time (ISO 8601, now by default)."""
        found = rows.flatten(data)
        self.training_run.log(found, step=self._take(step, False, True), wall_time=wall_time)
        self.summary.note(found)

    def _earlier_values(self) -> dict[str, Any]:
        return history.last_values(self.training_run.spool_path)

    def _earlier_config(self) -> dict[str, Any]:
        return self._options.config_of(dict(self.training_run.config))

    def _record_summary(self, changes: dict[str, Any]) -> None:
        self.training_run.log(rows.flatten(changes), step=self._step)

    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
        **others: Any,
    ) -> Metric:
        """Say what metrics of that name (``*`` for any text) are: their x-axis, and what of them is the summary.

        It is recorded in the run's config as ``_metric_defs``. ``wandb.Error`` for a summary or goal that there is not.
        """
        told.ignored("define_metric", others)
        spec = {
            "step_metric": getattr(step_metric, "name", step_metric),
            "step_sync": step_sync,
            "hidden": hidden,
            "summary": summary,
            "goal": goal,
        }
        made = self._definitions.add(str(name), spec, overwrite)
        self.training_run.config["_metric_defs"] = self._definitions.specs()
        return made

    def watch(
        self,
        models: Any,
        criterion: Any = None,
        log: str | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Histograms of a torch module's gradients, parameters, or "all", at every ``log_freq``-th gradient of a parameter."""
        if not self.disabled:
            first = len(self._watched) if idx is None else idx
            self._watched += watching.begin(models, self._log_watched, log, log_freq, first)

    def _log_watched(self, found: dict[str, Any]) -> None:
        self.log(found, commit=False)

    def unwatch(self, models: Any = None) -> None:
        """Take back ``watch``: of one module, of several, or of all."""
        chosen = list(models) if isinstance(models, (list, tuple)) else None if models is None else [models]
        for one in list(self._watched):
            if chosen is None or any(one.module is module for module in chosen):
                one.stop()
                self._watched.remove(one)

    def rollout(self, **kwargs: Any) -> Trace:
        """A trace that belongs to this run, by default to its current step; the arguments are those of ``TrainingRun.rollout``."""
        kwargs.setdefault("step", self._step)
        return self.training_run.rollout(**kwargs)

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run and wait for the disk: ``finished``, or with an ``exit_code`` other than 0 ``failed``. Once is enough."""
        self._end("failed" if exit_code else "finished", wait=True)

    def join(self, exit_code: int | None = None) -> None:
        """``finish`` by its older name."""
        self.finish(exit_code)

    def wrap_up(self) -> None:
        """Record what the end of a run adds: summaries other than the last value, and files that are new or have changed."""
        if self._is_finished or not self.is_of_this_process or self.disabled:
            return
        aggregates = self.summary.aggregates()
        if aggregates:
            self.training_run.log(aggregates, step=max(self._step - (not self._has_row), 0))
        self._saved.finish(self._dir, self._step)

    def _end(self, status: str, *, wait: bool) -> None:
        if self._is_finished:
            return
        self.unwatch()
        self.wrap_up()
        self._is_finished = True
        if wait:
            self.training_run.finish(status=status)
        else:
            self.training_run.end(status)
        self._ended(self)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(status_of(error), wait=False)

    def __repr__(self) -> str:
        return f"<tracehouse.Run id={self.id!r} name={self.name!r}>"
