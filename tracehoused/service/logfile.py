"""The agent's log: one JSON object a line, rotated by size. Never a payload (nothing logged here has one) and never a key.

``{"at": UTC ISO 8601, "level": "warning", "message": …}``, and where it applies ``session``, ``spool`` (paths) and ``error`` (a traceback
without the exception's own words).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from typing import IO, Any

from tracehouse.spool import durable
from tracehoused.text import printable

__all__ = ["LogFile", "begin", "tail", "told"]

_KEY = re.compile(r"\b(ba_|anon_)[A-Za-z0-9_.~+/=-]{4,}")
_EXTRAS = ("session", "spool")
_LONGEST = 2000


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "message": _clean(record.getMessage()),
        }
        for name in _EXTRAS:
            if hasattr(record, name):
                fields[name] = _clean(str(getattr(record, name)))
        if record.exc_info and record.exc_info[0] is not None:
            # what an exception says may quote what it was about
            frames = traceback.format_list(traceback.extract_tb(record.exc_info[2]))
            fields["error"] = _KEY.sub("…", f"{record.exc_info[0].__name__}\n{''.join(frames)}")
        return json.dumps(fields)


class _Plain(_Json):
    def format(self, record: logging.LogRecord) -> str:
        return told(json.loads(super().format(record)))


class LogFile(RotatingFileHandler):
    """0600, rotated at ``most`` bytes, ``keep`` old ones beside it."""

    def __init__(self, path: str, most: int, keep: int) -> None:
        durable.private_dir(os.path.dirname(path))
        super().__init__(path, maxBytes=most, backupCount=keep, encoding="utf-8", delay=True)
        self.setFormatter(_Json())

    def _open(self) -> Any:
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, durable.FILE_MODE)
        return open(fd, self.mode, encoding=self.encoding)


def begin(level: str, path: str | None, *, most: int, keep: int, terminal: IO[str] | None = None) -> None:
    """Log to a file, to a terminal, or to both, from now on; what was set up before is replaced."""
    root = logging.getLogger()
    handlers: list[logging.Handler] = [] if path is None else [LogFile(path, most, keep)]
    if terminal is not None:
        shown = logging.StreamHandler(terminal)
        shown.setFormatter(_Plain())
        handlers.append(shown)
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("tracehoused").setLevel(level.upper())
    logging.raiseExceptions = False  # a full disk must not end the agent
    sys.excepthook = _unexpected


def told(fields: dict[str, Any]) -> str:
    """A line of the log for people."""
    where = " ".join(f"{name}={fields[name]}" for name in _EXTRAS if name in fields)
    line = f"{fields.get('at', '')} {fields.get('level', '')!s:<7} {fields.get('message', '')}"
    return "\n".join(filter(None, [f"{line} {where}".rstrip(), str(fields.get("error", "")).rstrip()]))


def tail(path: str, lines: int = 5) -> str:
    """The last lines of a log, for people; "" where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            found = file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return ""
    return "\n".join(found)


def _clean(text: str) -> str:
    return _KEY.sub("…", printable(text, _LONGEST))


def _unexpected(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    logging.getLogger("tracehoused").critical("a defect ends the agent", exc_info=(kind, error, trace))
