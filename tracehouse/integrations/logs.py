"""A handler for Python's ``logging``: what a program tells its log, beside what it tells its trace."""

from __future__ import annotations

import logging

from tracehouse import defaults
from tracehouse.exceptions import NotActiveError
from tracehouse.run import Run
from tracehouse.training import TrainingRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWN = "tracehouse"
_FORMATTER = logging.Formatter()
# what every record has; anything else was given as ``extra``
_USUAL = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))


class LogHandler(logging.Handler):
    """Records what is logged as spans of kind ``attachment``, named by their loggers.

    ``to`` is a trace, or a run, which gets a trace ``<client_run_id>-log`` for it; without it, whichever of the default trace and
    the default run there is at the time, the trace first; with neither, nothing is recorded. A span's ``text`` is the message (as a
    formatter makes it, if one is set), with ``level``, ``where`` ("file:line"), and, where there are any, ``error`` (the traceback as
    text) and ``extra`` (object). Its status is "error" from level ERROR on; its parent is the innermost open ``span()``.

    What tracehouse itself logs is left to other handlers. Like any handler it never raises: see ``logging.raiseExceptions``.

    >>> import logging
    >>> from tracehouse.integrations.logs import LogHandler
    >>> run = cm.init(project="my-bot")
    >>> handler = LogHandler(level=logging.WARNING)
    >>> logging.getLogger("agent").addHandler(handler)
    >>> logging.getLogger("agent").warning("tool %s timed out", "Bash")
    >>> logging.getLogger("agent").removeHandler(handler)
    """

    def __init__(self, to: Run | TrainingRun | None = None, *, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._to = to
        self._of: TrainingRun | None = None
        self._trace: Run | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Record it; logging calls this."""
        if record.name.partition(".")[0] == OWN:
            return  # it may be telling that nothing can be recorded
        try:
            trace = self._target()
            if trace is not None:
                status = "error" if record.levelno >= logging.ERROR else None
                trace.log(kind="attachment", name=record.name, attributes=self._attributes(record), status=status)
        except Exception:  # noqa: BLE001 - the rule for handlers: an argument that cannot be formatted can raise anything
            self.handleError(record)

    def _attributes(self, record: logging.LogRecord) -> dict[str, Any]:
        made = self.formatter.format(record) if self.formatter else record.getMessage()
        told: dict[str, Any] = {"text": made, "level": record.levelname, "where": f"{record.pathname}:{record.lineno}"}
        if record.exc_info and record.exc_info[0] is not None:
            told["error"] = _FORMATTER.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = record.stack_info
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        return {**told, "extra": extra} if extra else told

    def _target(self) -> Run | None:
        given = self._to or _default()
        return self._trace_in(given) if isinstance(given, TrainingRun) else given

    def _trace_in(self, run: TrainingRun) -> Run:
        if self._trace is None or self._of is not run:
            self._trace = run.rollout(name="log", session_id=f"{run.client_run_id}-log", scaffold="python-logging")
            self._of = run
        return self._trace


def _default() -> Run | TrainingRun | None:
    for find in (defaults.current, defaults.current_run):
        try:
            return find()
        except NotActiveError:
            continue
    return None
