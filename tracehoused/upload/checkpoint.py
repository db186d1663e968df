"""What is settled for one session at one destination, durably: the acknowledgement journal.

``upload/<destination>/journal.jsonl`` in the session, one JSON object a line behind its CRC-32 in hex::

    <crc> {"op":"batch", …bounds}       about to be sent: the bounds, and with them the key, stay the same until it is settled
    <crc> {"op":"cut", …bounds}         will not be sent as such: parts of it are journalled beside
    <crc> {"op":"settle", …}            these records of this lane are acknowledged, or lie in the dead letters
    <crc> {"op":"done", …}              all that was read here is settled, and reading goes on at ``cursors``
    <crc> {"op":"strike", "bounds"}     the server failed at this batch; forgotten with the batch
    <crc> {"op":"fact", "name", "value"}
    <crc> {"op":"state", …}             everything so far (compaction)

A line that fails its checksum is ignored: at worst something is sent again, with the same key and range. One that makes no sense goes to
``aside.jsonl``, and costs no more than that. A copy of the state lies in the
agent's own directory by session uid; what is settled is the union of both, so that an rsync over the session loses nothing. What was
settled at an earlier generation of the server's object counts no more.
"""

from __future__ import annotations

import json
import os
import threading
from binascii import crc32
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from tracehouse.spool import durable
from tracehoused.upload.deadletter import NAME as DEAD_LETTERS
from tracehoused.upload.deadletter import DeadLetters
from tracehoused.upload.opening import check_dir, read_file, stamp
from tracehoused.upload.state import SENSELESS, State

__all__ = ["IDS", "Checkpoint"]

ASIDE = "aside.jsonl"
JOURNAL = "journal.jsonl"
IDS = "ids.jsonl"
COMPACT_BYTES = 256 * 1024
_MOST = 256 * 1024 * 1024
# how lines of facts begin, behind the checksum
_FACT = b' {"op":"fact",'


class Checkpoint:
    """The journal of one session at one destination. ``state`` is what it says; ``commit`` makes changes durable. ``dead``: its dead
    letters.

    ``formerly``: (directory, copy's path) of destinations that were this one under another name. SpoolError when it cannot be read.
    """

    def __init__(self, directory: str, copy_path: str, formerly: Iterable[tuple[str, str]] = ()) -> None:
        check_dir(directory)
        self.directory = directory
        self._path = os.path.join(directory, JOURNAL)
        self._copy_path = copy_path
        self._pending: list[bytes] = []
        self._size = 0
        self._compact_at = COMPACT_BYTES
        self._exists = False
        self._stamp: tuple[int, int, int] | None = None
        self.state = State()
        # server's ids of rollouts, the latest last, as the server told this very process
        self.rollouts: OrderedDict[str, str] = OrderedDict()
        self.trusted = False  # this agent's own copy names the session: the ids in it are this user's
        self._load()
        self._copy = _read_copy(copy_path)
        self._join(_state_of(self._copy), own=True)
        others = [Checkpoint(*place) for place in formerly]
        for other in others:
            other.state.strange = []  # they stay where they are, in a journal that nobody writes any more
            self._join(other.state, own=other.trusted)
        copy = f"{os.path.splitext(copy_path)[0]}.{DEAD_LETTERS}" if copy_path else ""
        self.dead: DeadLetters = DeadLetters(
            os.path.join(directory, DEAD_LETTERS), copy, [path for other in others for path in other.dead.paths]
        )

    def is_current(self) -> bool:
        """Nothing is noted that is not durable, and nobody else has written to the journal since: no need to read it again."""
        return self._exists and not self._pending and self._stamp == stamp(self._path)

    def note(self, entry: dict[str, Any]) -> None:
        """Apply a change now; it is durable from the next ``commit``."""
        self.state.apply(entry)
        self._pending.append(_line(entry))

    def fact(self, name: str, value: Any) -> None:
        if self.state.facts.get(name) != value or name not in self.state.facts:
            self.note({"op": "fact", "name": name, "value": value})

    def commit(self, *, leased: bool = True) -> None:
        """Wait until every noted change is on the disk. Who lost the lease leaves the facts to its holder, who knows later ones; and
        does not compact, which replaces the journal."""
        if not leased:
            self._pending = [line for line in self._pending if not line.startswith(_FACT, 8)]
        if not self._pending:
            return
        if not self._exists:
            self._create()
        elif leased and self._size > self._compact_at and self._stamp in (None, stamp(self._path)):
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
        self._stamp = stamp(self._path)

    def reset(self) -> None:
        """Forget what was settled; the facts stay."""
        self.state.forget_settled()
        self._exists = self._exists or os.path.exists(self._path)
        if not self._exists:
            self._create()
        self._compact()
        self.save_copy()

    def set_aside(self) -> int:
        """Move the entries that make no sense to ``aside.jsonl``, durably; how many. The caller holds the session's lease."""
        strange, self.state.strange = self.state.strange, []
        if not strange:
            return 0
        if not self._exists:
            self._create()
        data = b"".join(json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in strange)
        _append(os.path.join(self.directory, ASIDE), data, is_durable=True)
        durable.sync_dir(self.directory)
        self._compact()
        self.save_copy()
        return len(strange)

    def save_copy(self) -> None:
        """Bring the agent's own copy up to date."""
        self.commit()
        durable.private_dir(os.path.dirname(self._copy_path))
        copy = self._copy_now()
        durable.replace(self._copy_path, copy, _unique())
        self._copy = copy
        self.trusted = True

    def copy_lags(self) -> bool:
        """The agent's own copy, as this process last read or wrote it, does not say what the state is."""
        return self._copy != self._copy_now()

    def _copy_now(self) -> bytes:
        return json.dumps(self.state.to_dict(), sort_keys=True).encode()

    def note_ids(self, kind: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Tell the job, which reads this file, what the server calls sessions: (client's id, server's id)."""
        lines = [
            json.dumps({"kind": kind, "session": session, "id": server_id}, separators=(",", ":")).encode() + b"\n"
            for session, server_id in pairs
        ]
        if not lines:
            return
        if not self._exists:
            self._create()
        _append(os.path.join(self.directory, IDS), b"".join(lines), is_durable=False)

    def _create(self) -> None:
        durable.private_dir(os.path.dirname(self.directory))
        durable.private_dir(self.directory)
        durable.create(self._path, b"", durable=False)  # nothing is in it yet
        for path in (self.directory, os.path.dirname(self.directory), os.path.dirname(os.path.dirname(self.directory))):
            durable.sync_dir(path)
        self._exists = True

    def _compact(self) -> None:
        data = _line({"op": "state", **self.state.to_dict()})
        durable.replace(self._path, data, _unique())
        self._size = len(data)
        self._compact_at = max(COMPACT_BYTES, 2 * self._size)
        self._pending = []
        self._stamp = stamp(self._path)

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
            here, self.state.facts = self.state.facts, dict(other.facts)
            self.state.merge(other)
            self.state.learn(here)
        self.trusted = self.trusted or own


def _append(path: str, data: bytes, *, is_durable: bool) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, durable.FILE_MODE)
    try:
        durable.write_all(fd, data)
        if is_durable:
            durable.sync_data(fd)
    finally:
        os.close(fd)


def _read_copy(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _state_of(copy: bytes) -> State | None:
    try:
        return State.from_dict(json.loads(copy))
    except SENSELESS:
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
    except SENSELESS:
        state.strange.append(entry)  # written by nobody that knows the format: it settles nothing
