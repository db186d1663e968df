"""What is settled for one session at one destination, durably: the acknowledgement journal.

``upload/<destination>/journal.jsonl`` in the session, one JSON object a line behind its CRC-32 in hex::

    <crc> {"op":"batch", …bounds}       about to be sent: the bounds, and with them the key, stay the same until it is settled
    <crc> {"op":"cut", …bounds}         will not be sent as such: parts of it are journalled beside
    <crc> {"op":"settle", …}            these records of this lane are acknowledged, or lie in the dead letters
    <crc> {"op":"done", …}              all that was read here is settled, and reading goes on at ``cursor``
    <crc> {"op":"strike", "bounds"}     the server failed at this batch; forgotten with the batch
    <crc> {"op":"fact", "name", "value"}
    <crc> {"op":"state", …}             everything so far (compaction)

A line that fails its checksum is ignored: at worst something is sent again, with the same key and range. A copy of the state lies in the
agent's own directory by session uid; what is settled is the union of both, so that an rsync over the session loses nothing. What was
settled at an earlier generation of the server's object counts no more.
"""

from __future__ import annotations

import json
import os
import threading
from binascii import crc32
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tracehouse.spool import durable
from tracehoused.batch import Bounds
from tracehoused.intervals import Intervals
from tracehoused.reader import read_file

__all__ = ["Checkpoint", "State"]

JOURNAL = "journal.jsonl"
IDS = "ids.jsonl"
COMPACT_BYTES = 256 * 1024
_MOST = 256 * 1024 * 1024
_SENSELESS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass
class State:
    """``done``: settled in all lanes, by epoch; ``lanes``: settled beyond that, by (epoch, lane); ``cursors``: by epoch, the (segment
    number, offset) before which all is settled; ``in_flight``: journalled, not settled, with the times the server failed at each;
    ``facts``: small named values."""

    done: dict[str, Intervals] = field(default_factory=dict)
    lanes: dict[tuple[str, str], Intervals] = field(default_factory=dict)
    cursors: dict[str, tuple[int, int]] = field(default_factory=dict)
    in_flight: dict[Bounds, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def is_settled(self, epoch: str, lane: str, seq: int) -> bool:
        done = self.done.get(epoch)
        if done is not None and seq in done:
            return True
        settled = self.lanes.get((epoch, lane))
        return settled is not None and seq in settled

    @property
    def generation(self) -> int:
        """How often the server forgot the session."""
        return int(self.facts.get("generation") or 0)

    def is_partly_settled(self, bounds: Bounds) -> bool:
        """Some of what a batch covers is settled: it cannot be sent as it was."""
        return any(known is not None and known.meets(bounds.first, bounds.last) for known in self._known(bounds))

    def apply(self, entry: dict[str, Any]) -> None:
        """One journal line; what makes no sense raises ValueError, KeyError or TypeError."""
        op = entry["op"]
        if op == "batch":
            self.in_flight.setdefault(_bounds(entry["bounds"]), int(entry.get("strikes", 0)))
        elif op == "cut":
            self.in_flight.pop(_bounds(entry["bounds"]), None)
        elif op == "strike":
            self.in_flight[_bounds(entry["bounds"])] += 1
        elif op == "settle":
            self._settle(str(entry["epoch"]), str(entry["lane"]), entry["ranges"])
        elif op == "done":
            self._done(str(entry["epoch"]), entry["ranges"], entry.get("cursor"))
        elif op == "fact":
            self.facts[str(entry["name"])] = entry["value"]
        elif op == "state":
            self.merge(State.from_dict(entry))
            self.facts.update(entry["facts"])

    def _settle(self, epoch: str, lane: str, ranges: list[list[int]]) -> None:
        settled = self.lanes.setdefault((epoch, lane), Intervals())
        for first, last in ranges:
            settled.add(first, last)
        for bounds in [b for b in self.in_flight if (b.epoch, b.lane) == (epoch, lane)]:
            if settled.covers(bounds.first, bounds.last):
                del self.in_flight[bounds]

    def _done(self, epoch: str, ranges: list[list[int]], cursor: list[int] | None) -> None:
        done = self.done.setdefault(epoch, Intervals())
        for first, last in ranges:
            done.add(first, last)
        for bounds in [b for b in self.in_flight if b.epoch == epoch and done.covers(b.first, b.last)]:
            del self.in_flight[bounds]
        for key in [key for key in self.lanes if key[0] == epoch]:
            kept = Intervals(pair for pair in self.lanes[key] if not done.covers(*pair))
            if len(kept):
                self.lanes[key] = kept
            else:
                del self.lanes[key]
        if cursor is not None:
            self.cursors[epoch] = max(self.cursors.get(epoch, (0, 0)), (int(cursor[0]), int(cursor[1])))

    def merge(self, other: State) -> None:
        """The union of what both know to be settled; facts are left alone."""
        for epoch, ranges in other.done.items():
            self._done(epoch, ranges.to_list(), list(other.cursors.get(epoch, (0, 0))))
        for (epoch, lane), ranges in other.lanes.items():
            self._settle(epoch, lane, ranges.to_list())
        for bounds, strikes in other.in_flight.items():
            if not any(known is not None and known.covers(bounds.first, bounds.last) for known in self._known(bounds)):
                self.in_flight[bounds] = max(strikes, self.in_flight.get(bounds, 0))

    def _known(self, bounds: Bounds) -> tuple[Intervals | None, Intervals | None]:
        return self.done.get(bounds.epoch), self.lanes.get((bounds.epoch, bounds.lane))

    def forget_settled(self) -> None:
        """The server has nothing of this session any more: all is to be sent again."""
        self.done, self.lanes, self.cursors, self.in_flight = {}, {}, {}, {}

    def to_dict(self) -> dict[str, Any]:
        return {
            "done": {epoch: ranges.to_list() for epoch, ranges in self.done.items()},
            "lanes": [[epoch, lane, ranges.to_list()] for (epoch, lane), ranges in self.lanes.items()],
            "cursors": {epoch: list(cursor) for epoch, cursor in self.cursors.items()},
            "in_flight": [[*bounds, strikes] for bounds, strikes in self.in_flight.items()],
            "facts": self.facts,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> State:
        state = cls(facts=dict(fields["facts"]))
        for epoch, ranges in fields["done"].items():
            state.done[epoch] = Intervals(ranges)
        for epoch, lane, ranges in fields["lanes"]:
            state.lanes[epoch, lane] = Intervals(ranges)
        state.cursors = {epoch: (int(n), int(offset)) for epoch, (n, offset) in fields["cursors"].items()}
        state.in_flight = {_bounds(values[:7]): int(values[7]) for values in fields["in_flight"]}
        return state


def _bounds(values: list[Any]) -> Bounds:
    lane, epoch, *numbers = values
    return Bounds(str(lane), str(epoch), *(int(number) for number in numbers))


class Checkpoint:
    """The journal of one session at one destination. ``state`` is what it says; ``commit`` makes changes durable.

    ``formerly``: (directory, copy's path) of destinations that were this one under another name. SpoolError when it cannot be read.
    """

    def __init__(self, directory: str, copy_path: str, formerly: Iterable[tuple[str, str]] = ()) -> None:
        self.directory = directory
        self._path = os.path.join(directory, JOURNAL)
        self._copy_path = copy_path
        self._pending: list[bytes] = []
        self._size = 0
        self._compact_at = COMPACT_BYTES
        self._exists = False
        self.state = State()
        self.trusted = False  # this agent's own copy names the session: the ids in it are this user's
        self._load()
        self._join(_copied(copy_path), own=True)
        for other in [Checkpoint(*place) for place in formerly]:
            self._join(other.state, own=other.trusted)

    def note(self, entry: dict[str, Any]) -> None:
        """Apply a change now; it is durable from the next ``commit``."""
        self.state.apply(entry)
        self._pending.append(_line(entry))

    def fact(self, name: str, value: Any) -> None:
        if self.state.facts.get(name) != value or name not in self.state.facts:
            self.note({"op": "fact", "name": name, "value": value})

    def commit(self, *, compacting: bool = True) -> None:
        """Wait until every noted change is on the disk. Only the holder of the lease may compact: that replaces the journal."""
        if not self._pending:
            return
        if not self._exists:
            self._create()
        elif compacting and self._size > self._compact_at:
            self._compact()
            return
        data = b"".join(self._pending)
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            durable.write_all(fd, data)
            durable.sync_data(fd)
        except OSError:
            self._pending.insert(0, b"\n")  # what may be there of it must not swallow the next line
            raise
        finally:
            os.close(fd)
        self._size += len(data)
        self._pending = []

    def reset(self) -> None:
        """Forget what was settled; the facts stay."""
        self.state.forget_settled()
        self._exists = self._exists or os.path.exists(self._path)
        if not self._exists:
            self._create()
        self._compact()
        self.save_copy()

    def save_copy(self) -> None:
        """Bring the agent's own copy up to date."""
        self.commit()
        durable.private_dir(os.path.dirname(self._copy_path))
        durable.replace(self._copy_path, json.dumps(self.state.to_dict()).encode(), _unique())
        self.trusted = True

    def note_id(self, kind: str, session: str, server_id: str) -> None:
        """Tell the job, which reads this file, what the server calls a session."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(os.path.join(self.directory, IDS), flags, durable.FILE_MODE)
        try:
            line = json.dumps({"kind": kind, "session": session, "id": server_id}, separators=(",", ":"))
            durable.write_all(fd, line.encode() + b"\n")
        finally:
            os.close(fd)

    def _create(self) -> None:
        durable.private_dir(os.path.dirname(self.directory))
        durable.private_dir(self.directory)
        durable.create(self._path, b"")
        for path in (self.directory, os.path.dirname(self.directory), os.path.dirname(os.path.dirname(self.directory))):
            durable.sync_dir(path)
        self._exists = True

    def _compact(self) -> None:
        data = _line({"op": "state", **self.state.to_dict()})
        durable.replace(self._path, data, _unique())
        self._size = len(data)
        self._compact_at = max(COMPACT_BYTES, 2 * self._size)
        self._pending = []

    def _load(self) -> None:
        try:
            raw = read_file(self._path, _MOST)
            self._exists = True
        except FileNotFoundError:
            raw = b""
        self._size = len(raw)
        for line in raw.split(b"\n"):
            entry = _entry(line)
            if entry is not None:
                _try_apply(self.state, entry)
                if entry["op"] == "state":
                    self._compact_at = max(COMPACT_BYTES, 2 * len(line))
        if raw and not raw.endswith(b"\n"):
            self._pending.append(b"\n")  # a torn last line must not swallow the next one

    def _join(self, other: State | None, *, own: bool) -> None:
        """What is known elsewhere of the same session at the same destination."""
        if other is None or other.generation < self.state.generation:
            return
        if other.generation > self.state.generation:
            self.state = other  # what is here is from before the server forgot
        else:
            self.state.merge(other)
            self.state.facts = {**other.facts, **self.state.facts}
        self.trusted = self.trusted or own


def _copied(path: str) -> State | None:
    try:
        with open(path, "rb") as file:
            return State.from_dict(json.load(file))
    except (OSError, *_SENSELESS):
        return None


def _unique() -> str:
    return f"{os.getpid()}-{threading.get_ident()}"


def _line(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %b\n" % (crc32(text), text)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        if len(line) < 10 or int(line[:8], 16) != crc32(line[9:]):
            return None
        entry = json.loads(line[9:])
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and "op" in entry else None


def _try_apply(state: State, entry: dict[str, Any]) -> None:
    try:
        state.apply(entry)
    except _SENSELESS:
        pass  # written by nobody that knows the format: it settles nothing
