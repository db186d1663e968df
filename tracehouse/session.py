"""A session as the emitter sees it: one trace or run of this process, and its way into the spool."""

from __future__ import annotations

import os
import threading

from tracehouse import clock, exits, ids
from tracehouse.exceptions import ArgumentError
from tracehouse.spool import layout
from tracehouse.spool.log import SessionLog
from tracehouse.spool.manifest import Manifest
from tracehouse.spool.releasing import releasing
from tracehouse.spool.writer import Writer, writer_of
from tracehouse.values import encode
from tracehouse.version import VERSION

_LONGEST_LABEL = 1024

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.config import Settings


# what servers take, and a manifest can hold
MAX_ID = 1024


def check_id(name: str, value: str) -> str:
    """``value``, or ArgumentError for one that no server would take."""
    if len(value) > MAX_ID:
        raise ArgumentError(f"{name} must have at most {MAX_ID:,} characters, got {len(value):,}: {value[:60]!r}…")
    return value


class Session:
    """``kind`` is "trace" or "run", ``id`` its session_id or client_run_id. Never raises for the disk's sake.

    ``append(type, text)`` records the JSON text of an object.
    """

    def __init__(self, kind: str, id: str, settings: Settings, *, project: str | None, name: str | None) -> None:  # noqa: A002
        self.kind = kind
        self.id = id
        self.settings = settings
        self.creator_pid = os.getpid()
        writer = writer_of(settings.spool_dir, clock.now)
        self.log = _log_of(writer, _manifest(kind, id, settings, writer.epoch, project, name))
        self.append = self.log.append
        self.directory = self.log.directory
        is_prepared = self.log.prepare()
        self._opening = self.log.openings
        self.resumed = self.log.files.resumed or self._opening > 1 or (not is_prepared and _is_begun(self.directory))
        self.began_attempt = self.log.files.began_attempt
        self.tells: tuple[str, ...] = ()  # which statuses the end of this process may give the run
        self._is_open = True
        exits.watch(self)

    @property
    def origin(self) -> str:
        """ "" where this object made the session; else what tells it from all else that writes there."""
        if not self.resumed and not self.in_child:
            return ""
        log = self.log
        is_first = log.files.opened_at == 0 and self._opening == 1
        return log.writer.epoch if is_first else f"{log.writer.epoch}-{log.files.opened_at}-{self._opening}"

    @property
    def in_child(self) -> bool:
        """A forked child: what it logs is recorded, but the session is not its to finish."""
        return os.getpid() != self.creator_pid

    @property
    def has_written(self) -> bool:
        """This very process, not only the one it was forked from, has recorded something here."""
        return self.log.has_records

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        self.append(kind, encode(payload))
        if kind == self.kind:
            self.log.go_on()

    def flush(self) -> bool:
        """Wait for the disk; True when every record since the last time is there to stay."""
        return self.log.flush()

    def exit(self, status: str | None, exception: str | None, code: int | None) -> None:
        """The process ends with this session open."""
        redactor = self.settings.redactor
        if redactor is not None and exception is not None:
            exception = redactor.text(exception)
        ended: dict[str, object] = {"status": status, "exception": exception, "code": code, "at": clock.now()}
        self.log.end("exit", encode(ended))

    @releasing("log.lock")
    def close(self, *, for_all: bool = False) -> None:
        """Who has this object is done with the session. The last one in this process tells that, and who ends it ``for_all``; later records
        are recorded all the same. One that holds nothing is told no end."""
        if not self._is_open:
            return
        with self.log.lock:  # who opens it meanwhile writes behind the end
            is_last = self._leave()
            if (is_last or for_all) and self.has_written:
                self.log.end("close", encode({"at": clock.now()}))
            if is_last:
                self.log.close()

    def let_go(self) -> None:
        """Nothing more is expected from here."""
        if self._leave():
            self.log.close()

    def _leave(self) -> bool:
        self._is_open = False
        exits.forget(self)
        return self.log.writer.release(self.log)

    def server_id(self, kind: str, session_id: str) -> str | None:
        """The server's id of this session, or of a rollout in it, once an agent has uploaded it from here."""
        return find_server_id(self.directory, kind, session_id)


class NoLog:
    """What of a session's log is used for more than appending, with nothing behind it."""

    def __init__(self) -> None:
        self.step_lock = threading.RLock()
        self.next_step: int | None = 0

    def lose(self, error: OSError) -> None:
        """Nothing."""

    def expect_file(self) -> None:
        """Nothing."""

    def add_file(self, path: str) -> None:
        """Nothing."""


class NoSession:
    """In place of a session where nothing is to be recorded (mode="disabled")."""

    directory = ""
    resumed = False
    began_attempt = True
    origin = ""
    in_child = False
    tells: tuple[str, ...] = ()

    def __init__(self, kind: str, id: str, settings: Settings) -> None:  # noqa: A002
        self.kind = kind
        self.id = id
        self.settings = settings
        self.log = NoLog()

    def append(self, kind: str, data: str) -> None:
        """Nothing."""

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        """Nothing."""

    def flush(self) -> bool:
        """Nothing to wait for."""
        return True

    def close(self, *, for_all: bool = False) -> None:
        """Nothing."""

    def server_id(self, kind: str, session_id: str) -> str | None:
        """None."""
        return None


def open_run(client_run_id: str, settings: Settings, project: str | None, name: str | None) -> Session | NoSession:
    """The session of a training run, or what stands in its place when disabled."""
    if settings.disabled:
        return NoSession("run", client_run_id, settings)
    return Session("run", client_run_id, settings, project=project, name=name)


def _is_begun(directory: str) -> bool:
    """What a disk that takes nothing still tells: whether someone recorded something there."""
    try:
        names = os.listdir(directory)
    except OSError:
        return False
    return layout.UPLOAD in names or any(map(layout.parse_segment_name, names))


def _log_of(writer: Writer, manifest: Manifest) -> SessionLog:
    """The log of the session that ``manifest`` is to begin, shared with whoever has it open in this process."""
    name = layout.session_dir(manifest.kind, manifest.id, manifest.api_base, manifest.credential)
    directory = os.path.join(writer.root, name)
    return writer.share(directory, lambda: SessionLog(writer, manifest, directory))


def _label(given: object) -> str | None:
    """A name as a text, cut to what a manifest has room for: the whole is in the record."""
    return None if given is None else str(given)[:_LONGEST_LABEL]


def _manifest(
    kind: str,
    session_id: str,
    settings: Settings,
    epoch: str,
    project: str | None,
    name: str | None,
) -> Manifest:
    return Manifest(
        {
            "format": 1,
            "uid": ids.hex_id(32),
            "kind": kind,
            "id": session_id,
            "machine_id": settings.machine_id,
            "hostname": settings.hostname,
            "api_base": settings.api_base,
            "created_at": clock.now(),
            "epoch": epoch,
            "credential": settings.credential,
            "project": _label(project),
            "name": _label(name),
            "agent_version": settings.agent_version,
            "version": VERSION,
        }
    )


def find_server_id(directory: str, kind: str, session_id: str) -> str | None:
    """Look through what agents noted beside the session: ``upload/<destination>/ids.jsonl``, newest line last."""
    import json

    upload = os.path.join(directory, layout.UPLOAD)
    try:
        destinations = sorted(os.listdir(upload))
    except OSError:
        return None
    found = None
    for destination in destinations:
        try:
            with open(os.path.join(upload, destination, "ids.jsonl"), "rb") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                entry = json.loads(line)
                if (entry["kind"], entry["session"]) == (kind, session_id):
                    found = str(entry["id"])
            except (ValueError, KeyError, TypeError):
                continue  # a line being written
    return found
