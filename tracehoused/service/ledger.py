"""Which sessions of a spool need no look: closed, and settled at their destination, since when; noted in the agent's state directory.

So an agent that starts over a hundred thousand finished sessions opens none of them. A note holds while the session's directory
is as it was then (its mtime: a new segment changes it). Losing the notes costs a look at each session, and lets grace begin anew.

How long ago something was is told by the wall clock and by an *odometer*: seconds counted by monotonic clocks, over restarts
and reboots. It may stand still (machine off), but it never jumps: an age is the lesser of the two.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from tracehouse.spool import durable, liveness
from tracehoused.service.growing import Ends

__all__ = ["Ledger", "Note", "Odometer", "age", "directory_mark"]


class Note(NamedTuple):
    """``mtime``: of the session's directory, in ns; ``wall``, ``odo``: when it was found settled; ``size`` in bytes; ``dead`` letters;
    ``dropped``: records that the job could not write; ``home``: server and machine, of those two. ``ends``: of segments that may grow."""

    mtime: int
    wall: float
    odo: float
    size: int
    files: int
    dead: int
    pruned: bool
    dropped: int = 0
    home: tuple[str, str] = ("", "")
    ends: Ends = ()


class Odometer:
    """Monotonic seconds since this state directory was first used. Saved now and then; never ahead of time."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, "odometer.json")
        self._boot = liveness.boot_id()
        total, boot, at = self._load()
        # of the time since the last save, only what this boot's clock has counted is certain; another boot may be another machine's, too
        self._base = total - (at if boot == self._boot else _uptime())

    def now(self) -> float:
        return self._base + _uptime()

    def save(self) -> None:
        durable.private_dir(os.path.dirname(self._path))
        fields = {"total": self.now(), "boot_id": self._boot, "at": _uptime()}
        durable.replace(self._path, json.dumps(fields).encode(), str(os.getpid()))

    def _load(self) -> tuple[float, str, float]:
        try:
            with open(self._path, "rb") as file:
                fields = json.load(file)
            return float(fields["total"]), str(fields["boot_id"]), float(fields["at"])
        except (OSError, ValueError, KeyError, TypeError):
            # never saved: what this boot counted before is nobody's age
            return 0.0, self._boot, _uptime()


class Ledger:
    """The notes of one spool. ``names`` are those of session directories."""

    def __init__(self, state_dir: str, spool: str) -> None:
        name = sha256(os.fsencode(spool)).hexdigest()[:16]
        self._path = os.path.join(state_dir, "settled", f"{name}.json")
        self._notes: dict[str, Note] = {}
        self._troubled: set[str] = set()
        self._changed = False
        self._load()

    def get(self, name: str) -> Note | None:
        return self._notes.get(name)

    def put(self, name: str, note: Note) -> None:
        self._notes[name] = note
        self._changed = True
        self._mark_troubled(name)

    def drop(self, name: str) -> None:
        if self._notes.pop(name, None) is not None:
            self._troubled.discard(name)
            self._changed = True

    def keep_only(self, names: set[str]) -> None:
        """Forget sessions that are gone."""
        for name in [name for name in self._notes if name not in names]:
            self.drop(name)

    def troubled(self) -> Iterator[Note]:
        """Those with dead letters, or of which records were dropped: few of many."""
        return (self._notes[name] for name in list(self._troubled))

    def _mark_troubled(self, name: str) -> None:
        note = self._notes[name]
        (self._troubled.add if note.dead or note.dropped else self._troubled.discard)(name)

    def items(self) -> Iterator[tuple[str, Note]]:
        return iter(list(self._notes.items()))

    def __len__(self) -> int:
        return len(self._notes)

    def save(self) -> None:
        if not self._changed:
            return
        durable.private_dir(os.path.dirname(self._path))
        durable.replace(self._path, json.dumps(self._notes).encode(), str(os.getpid()))
        self._changed = False

    def _load(self) -> None:
        try:
            with open(self._path, "rb") as file:
                found = json.load(file)
            self._notes = {str(name): _note(fields) for name, fields in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, IndexError):
            self._notes = {}
        self._troubled = {name for name, note in self._notes.items() if note.dead or note.dropped}


def _note(fields: list[Any]) -> Note:
    note = Note(*fields)
    note = note._replace(ends=tuple((str(name), int(size)) for name, size in note.ends)) if note.ends else note
    return note._replace(home=(str(note.home[0]), str(note.home[1]))) if note.dead or note.dropped else note


def age(note: Note, wall: float, odo: float) -> float:
    """Seconds since a session was settled, by whichever clock says less."""
    return min(wall - note.wall, odo - note.odo)


def directory_mark(session: str) -> int:
    """What changes whenever a file comes to or leaves a session's directory; 0 when it is gone."""
    try:
        return os.stat(session, follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _uptime() -> float:
    """Seconds of this boot, sleep included where the system counts it."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
