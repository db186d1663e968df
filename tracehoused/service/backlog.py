"""What waits on each machine for each server: counted, and told to the server with every request to it.

    X-Tracehouse-Pending    records that are neither acknowledged nor given up
    X-Tracehouse-Dead       records in the dead letters
    X-Tracehouse-Oldest     ISO 8601: since when the oldest of those that wait does

A session counts with the machine that wrote it and the server it is for. Of sessions that nothing was sent of yet, the first
thousands are counted when they are found, from the ends of their segments, the others when it is their turn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from tracehouse.spool import layout
from tracehoused.service.ledger import Ledger
from tracehoused.service.tracked import Tracked
from tracehoused.unreadable import TROUBLES
from tracehoused.upload.reader import measure, read_manifest, writers
from tracehoused.upload.tails import records_written

__all__ = ["Backlog", "Waiting", "count_new"]

_EVERY = 1.0
_AGAIN = 60.0
_SHARE = 200  # counting takes at most this part of a core

Headers = tuple[tuple[str, str], ...]


@dataclass
class Waiting:
    """``since``: monotonic, None when nothing waits. ``blocked``: the server fails, or does not answer: it has to be told later."""

    records: int = 0
    dead: int = 0
    since: float | None = None
    blocked: bool = False

    def headers(self) -> Headers:
        told = [("X-Tracehouse-Pending", str(self.records)), ("X-Tracehouse-Dead", str(self.dead))]
        if self.since is not None:
            then = max(
                0.0, time.time() - (time.monotonic() - self.since)
            )  # a file's time may be of no year that there is
            told.append(
                ("X-Tracehouse-Oldest", datetime.fromtimestamp(then, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
            )
        return tuple(told)


class Backlog:
    """``headers`` and ``heard`` may be called from any thread; all else is the agent's thread's."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Waiting] = {}
        self._told: dict[tuple[str, str], Headers] = {}
        self._due: float | None = None
        self._free_at = 0.0

    def headers(self, api_base: str, machine: str) -> Headers:
        """What a request to this server in the name of this machine is to tell."""
        return self._waiting.get((api_base, machine), Waiting()).headers()

    def heard(self, api_base: str, machine: str, headers: Sequence[tuple[str, str]]) -> None:
        """The server answered a request with these."""
        self._told[api_base, machine] = tuple(headers)

    def changed(self, now: float) -> None:
        """Something was recorded, or settled: it is to be counted again soon."""
        soon = max(now, self._free_at)
        self._due = soon if self._due is None else min(self._due, soon)

    @property
    def due(self) -> float | None:
        """When to count again; None until something changes."""
        return self._due

    def count(self, sessions: dict[str, Tracked], ledgers: list[Ledger]) -> None:
        began = time.monotonic()
        found: dict[tuple[str, str], Waiting] = {}
        for session in sessions.values():
            _add(found.setdefault(session.home, Waiting()), session)
        for ledger in ledgers:
            for note in ledger.troubled():
                found.setdefault(note.home, Waiting()).dead += note.dead
        self._waiting = found
        self._due = None
        now = time.monotonic()
        self._free_at = now + max(_EVERY, (now - began) * _SHARE)

    def untold(self) -> Iterator[tuple[str, str]]:
        """Servers, and machines, that were told something else last, and can be told now."""
        for home, last in list(self._told.items()):
            here = self._waiting.get(home, Waiting())
            if last != here.headers() and not here.blocked:
                # should that not be heard either, there may be no change to tell it with
                self._due = self._due or time.monotonic() + _AGAIN
                yield home

    @property
    def records(self) -> int:
        return sum(waiting.records for waiting in self._waiting.values())


def count_new(session: Tracked) -> None:
    """Count one that nothing was sent of yet; what cannot be read counts nothing. It waits since it was begun."""
    if os.path.isdir(os.path.join(session.path, layout.UPLOAD)):
        return
    try:
        manifest = read_manifest(session.path)
        epochs = writers(session.path)
        measure(session.path, epochs)
        session.left = records_written(session.path, manifest.uid, epochs)
        begun = os.stat(os.path.join(session.path, layout.MANIFEST)).st_mtime
    except TROUBLES:
        return
    session.home = (manifest.api_base, manifest.machine_id)
    if session.pending_since is not None:
        session.pending_since -= max(0.0, time.time() - begun)


def _add(waiting: Waiting, session: Tracked) -> None:
    waiting.dead += session.dead
    waiting.blocked = waiting.blocked or session.state in ("retry", "parked")
    if session.state != "stopped" and session.pending_since is not None:
        waiting.records += session.left
        if session.left:
            waiting.since = min(waiting.since or session.pending_since, session.pending_since)
