"""A session as the emitter sees it: one trace or run of this process, and its way into the spool."""

from __future__ import annotations

import os

from tracehouse import clock, ids
from tracehouse.spool import layout
from tracehouse.spool.manifest import Manifest
from tracehouse.spool.segment import SessionLog
from tracehouse.spool.writer import Writer, writer_of
from tracehouse.values import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.config import Settings


class Session:
    """``kind`` is "trace" or "run", ``id`` its session_id or client_run_id. Never raises for the disk's sake."""

    def __init__(self, kind: str, id: str, settings: Settings, *, project: str | None, name: str | None) -> None:  # noqa: A002
        self.kind = kind
        self.id = id
        self.settings = settings
        self.writer: Writer = writer_of(settings.spool_dir, clock.now)
        self.creator_pid = os.getpid()
        self.log = SessionLog(self.writer, _manifest(kind, id, settings, self.writer.epoch, project, name))
        self.append = self.log.append
        self.log.prepare()
        self.writer.register(self.log)

    @property
    def directory(self) -> str:
        return self.log.directory

    @property
    def is_creator(self) -> bool:
        """This writer made the session, and is not a forked child of the one that did."""
        return self.log.manifest.epoch == self.writer.epoch

    @property
    def in_child(self) -> bool:
        """A forked child: what it logs is recorded, but the session is not its to finish."""
        return os.getpid() != self.creator_pid

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        self.append(kind, encode(payload))

    def sync(self) -> bool:
        """Wait for the disk; True when every record so far is there to stay."""
        return self.log.sync()

    def close(self) -> None:
        """This process is done with the session; a later record opens it again."""
        self.record("close", {"at": clock.now()})
        self.writer.unregister(self.log)

    def server_id(self, session_id: str | None = None) -> str | None:
        """The server's id of this session, or of a rollout in it, once an agent has uploaded it from here."""
        return find_server_id(self.directory, self.kind, session_id or self.id)


def _manifest(
    kind: str,
    session_id: str,
    settings: Settings,
    epoch: str,
    project: str | None,
    name: str | None,
) -> Manifest:
    from tracehouse.version import VERSION

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
            "project": project,
            "name": name,
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
