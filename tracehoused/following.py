"""What jobs are writing right now, for a view of it: the sessions of spools, and the tail of each that is looked at.

Reads what was appended since the last look, and nothing twice; takes no lease, sends nothing.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from tracehouse.exceptions import TracehouseError
from tracehouse.spool import layout, liveness
from tracehouse.spool import record as framing
from tracehoused.status import SessionStatus
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Epoch, Scan, measure, read_manifest, scan, writers

__all__ = ["Feed", "Follower", "Latest"]

_FIRST_LOOK = 256 * 1024
_POINTS = 512
_SAMPLES = 6
_RECENT = 10
_LAST = 16 * 1024
_STATUS_EVERY = 2.0


@dataclass
class Latest:
    """One key's values so far (the last 512 that are numbers), and the step of the last one."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=_POINTS))
    step: object = None


class Feed:
    """One session: ``series`` by key in the order they came, ``said`` (kind and text of the last span), ``status``, and the rates."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.series: dict[str, Latest] = {}
        self.said: tuple[str, str] | None = None
        self.status: SessionStatus | None = None
        self.problem = ""
        self._uid = ""
        self._cursors: dict[str, tuple[int, int]] = {}
        self._epochs: list[Epoch] = []
        self._listed: int | None = None
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=_SAMPLES)
        self._records = self._bytes = 0
        self._looked_at = float("-inf")

    def look(self, now: float, status: Callable[[str], SessionStatus]) -> None:
        """Read on. ``now`` is monotonic; ``status`` is asked every two seconds at most."""
        self.problem = ""
        steps = [self._advance]
        if now - self._looked_at >= _STATUS_EVERY:
            self._looked_at = now
            steps.append(lambda: self._ask(status))
        for step in steps:
            try:
                step()
            except (TracehouseError, OSError) as error:
                self.problem = str(error)
        self._samples.append((now, self._records, self._bytes))

    def rates(self) -> tuple[float, float] | None:
        """(records, bytes) per second over the last looks; None after the first."""
        first, last = self._samples[0], self._samples[-1]
        seconds = last[0] - first[0]
        return None if seconds <= 0 else ((last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds)

    def _ask(self, status: Callable[[str], SessionStatus]) -> None:
        self.status = status(self.path)

    def _advance(self) -> None:
        listed = os.stat(self.path).st_mtime_ns
        if listed != self._listed:
            self._uid = self._uid or read_manifest(self.path).uid
            self._epochs = writers(self.path)
            self._listed = listed
        measure(self.path, self._epochs)
        for epoch in self._epochs:
            self._read(epoch)

    def _read(self, epoch: Epoch) -> None:
        last = max(epoch.sizes)
        n, at = self._cursors.get(epoch.id, (last, max(0, epoch.sizes[last] - _FIRST_LOOK)))
        is_first = epoch.id not in self._cursors
        for number in range(n, last + 1):
            start = at if number == n else 0
            size = epoch.sizes.get(number, 0)
            end = self._take(epoch, number, start, size) if size > start else start
            self._cursors[epoch.id] = (number, end)
            if not is_first:
                self._bytes += end - start

    def _take(self, epoch: Epoch, n: int, start: int, size: int) -> int:
        """Read from ``start``; where the next look begins."""
        result = Scan(start)
        fd = open_checked(os.path.join(self.path, layout.segment_name(epoch.id, n)))
        try:
            for record in scan(fd, framing.checksum_seed(self._uid, epoch.id), start, size, result):
                self._records += epoch.id in self._cursors
                if record.type in (b"metrics", b"span"):
                    self._note(record.type, record.data)
        finally:
            os.close(fd)
        return result.end

    def _note(self, kind: bytes, data: bytes) -> None:
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            return
        if kind == b"metrics":
            self._note_metrics(fields)
            return
        attributes = fields.get("attributes")
        text = attributes.get("text", attributes.get("result_text")) if isinstance(attributes, dict) else None
        self.said = (str(fields.get("kind")), str(fields.get("name") if text is None else text))

    def _note_metrics(self, fields: dict[str, Any]) -> None:
        values = fields.get("values")
        for key, value in values.items() if isinstance(values, dict) else ():
            number = _number(value)
            if number is not None:
                latest = self.series.setdefault(key, Latest())
                latest.values.append(number)
                latest.step = fields.get("step")


class Follower:
    """The sessions worth looking at in some spools: those with a living writer, then the ones that changed last."""

    def __init__(self, roots: list[str], status: Callable[[str], SessionStatus]) -> None:
        self._roots = roots
        self._status = status
        self._feeds: dict[str, Feed] = {}
        self._epochs: dict[str, tuple[int, dict[str, str]]] = {}
        self._ends: dict[str, tuple[int, bool]] = {}
        self.sessions = 0
        self.live = 0

    def look(self, now: float, most: int) -> list[Feed]:
        """Look at at most so many sessions, and return them, living ones first."""
        found = [(path, changed) for root in self._roots for path, changed in _sessions(root)]
        self.sessions = len(found)
        living = self._living(found)
        self.live = len(living)
        others = sorted((one for one in found if one[0] not in living), key=lambda one: one[1], reverse=True)
        chosen = [*sorted(living), *(path for path, _ in others[:_RECENT])][:most]
        self._feeds = {path: self._feeds.get(path) or Feed(path) for path in chosen}
        for feed in self._feeds.values():
            feed.look(now, self._status)
        return list(self._feeds.values())

    def _living(self, found: Collection[tuple[str, int]]) -> set[str]:
        alive = {spool: _living_writers(spool) for spool in {os.path.dirname(path) for path, _ in found}}
        return {
            path
            for path, changed in found
            if (writing := alive[os.path.dirname(path)])
            and any(
                epoch in writing and not self._is_closed(file) for epoch, file in self._writers(path, changed).items()
            )
        }

    def _writers(self, path: str, changed: int) -> dict[str, str]:
        """A session's epochs, each with its last segment; a new segment changes the directory."""
        known = self._epochs.get(path)
        if known is None or known[0] != changed:
            known = self._epochs[path] = (changed, _last_segments(path))
        return known[1]

    def _is_closed(self, file: str) -> bool:
        """A writer may live on for other sessions: what it wrote last to this one tells."""
        try:
            size = os.stat(file).st_size
            known = self._ends.get(file)
            if known is None or known[0] != size:
                known = self._ends[file] = (size, _ends_closed(file, size))
        except (TracehouseError, OSError):
            return True
        return known[1]


def _number(value: object) -> float | None:
    if isinstance(value, dict) and value.get("_type") == "number":
        value = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.get(str(value.get("value")))
    try:
        return float(value) if isinstance(value, (int, float)) else None
    except OverflowError:
        return None


def _sessions(root: str) -> list[tuple[str, int]]:
    """(path, mtime in ns) of each session; a spool may be a session's directory itself."""
    if layout.is_session_dir(os.path.basename(root)):
        return [(root, os.stat(root).st_mtime_ns)]
    try:
        with os.scandir(root) as entries:
            found = [entry for entry in entries if layout.is_session_dir(entry.name)]
    except FileNotFoundError:
        return []
    return [one for entry in found if (one := _directory(entry)) is not None]


def _directory(entry: os.DirEntry[str]) -> tuple[str, int] | None:
    try:
        is_one = entry.is_dir(follow_symlinks=False)
        return (entry.path, entry.stat(follow_symlinks=False).st_mtime_ns) if is_one else None
    except FileNotFoundError:
        return None  # removed meanwhile


def _last_segments(path: str) -> dict[str, str]:
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return {}
    return {segment.epoch: os.path.join(path, name) for name in names if (segment := layout.parse_segment_name(name))}


def _ends_closed(file: str, size: int) -> bool:
    fd = open_checked(file)
    try:
        lines = os.pread(fd, _LAST, max(0, size - _LAST)).split(b"\n")
    finally:
        os.close(fd)
    last = framing.peek(lines[-2]) if len(lines) > 1 else None
    return last is not None and last[1] in (b"close", b"exit")


def _living_writers(spool: str) -> set[str]:
    place = os.path.join(spool, layout.WRITERS)
    try:
        names = os.listdir(place)
    except OSError:
        return set()
    found = set()
    for name in names:
        epoch, _, ending = name.rpartition(".")
        lock = liveness.read_lock(place, epoch) if ending == "lock" else None
        if lock and liveness.lives_here(lock) is not False:
            found.add(epoch)
    return found
