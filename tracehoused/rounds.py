"""A round: as much of one writer's segments as is sorted, sent and settled in one go."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from tracehouse.spool import layout, record
from tracehoused.batch import CREATE, LANES, LOCAL, PATCHES, Batch, Bounds, Limits, Planner, Record, Render
from tracehoused.checkpoint import State
from tracehoused.intervals import Intervals
from tracehoused.reader import Epoch, Run, Scan, open_checked, scan, scan_runs

__all__ = ["Reading", "Round", "read_batch", "read_records"]

ROUND_BYTES = 8 * 1024 * 1024


@dataclass
class Round:
    """``seen``: all valid records read; ``end``: the cursor behind them; ``last``: the last one's data; ``foreign``: how many are of
    types that this version does not know."""

    epoch: Epoch
    end: tuple[int, int]
    seen: Intervals = field(default_factory=Intervals)
    creates: list[Record] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    patches: list[Record] = field(default_factory=list)
    locals: list[Record] = field(default_factory=list)
    last: bytes = b""
    size: int = 0
    foreign: int = 0
    damaged_lines: int = 0
    damaged_bytes: int = 0


class Reading:
    """Reads one writer's segments in rounds, from the checkpoint's cursor to the sizes found when the pass began."""

    def __init__(self, session: str, uid: str, epoch: Epoch, state: State, limits: Limits, renders: dict[str, Render]):
        self._session = session
        self._epoch = epoch
        self._seed = record.checksum_seed(uid, epoch.id)
        self._state = state
        self._limits = limits
        self._renders = renders
        self._at = state.cursors.get(epoch.id, (0, 0))
        self._seen = Intervals()  # of this pass: of several valid lines of one seq the first counts

    def next(self) -> Round | None:
        """The next round; None when all is read."""
        found = Round(self._epoch, self._at)
        for n in sorted(self._epoch.sizes):
            if n < self._at[0] or found.size >= ROUND_BYTES:
                continue
            start = self._at[1] if n == self._at[0] else 0
            self._read(found, n, start)
            self._at = found.end
        return found if found.size or found.damaged_bytes else None

    def _read(self, found: Round, n: int, start: int) -> None:
        size = self._epoch.sizes[n]
        found.end = (n, start)
        if start >= size:
            return  # nothing new, or a copy that is behind what was acknowledged elsewhere: wait
        planner = Planner(self._epoch.id, n, self._epoch.attempt, self._limits, self, self._renders)
        result = Scan(end=start)
        fd = open_checked(os.path.join(self._session, layout.segment_name(self._epoch.id, n)))
        try:
            stop = min(size, start + ROUND_BYTES - found.size)
            if stop < size:
                stop = _line_end(fd, stop, size)
            for run in scan_runs(fd, self._seed, start, stop, result):
                self._sort(found, planner, run)
        finally:
            os.close(fd)
        found.batches += planner.finish()
        if n != max(self._epoch.sizes) and stop == size and result.tail:
            # a rolled segment grows no more: what has no newline at its end was torn
            result.damaged_lines += 1
            result.damaged_bytes += result.tail
            result.end = size
        found.end = (n, result.end)
        found.size += result.end - start
        found.damaged_lines += result.damaged_lines
        found.damaged_bytes += result.damaged_bytes

    def _sort(self, found: Round, planner: Planner, run: Run) -> None:
        if run.first > self._seen.last:
            self._take(found, planner, run)
            return
        for at, seq in enumerate(range(run.first, run.last + 1)):
            if seq not in self._seen:
                self._take(found, planner, run.part(at, at + 1))

    def _take(self, found: Round, planner: Planner, run: Run) -> None:
        self._seen.add(run.first, run.last)
        found.seen.add(run.first, run.last)
        found.last = run.datas[-1]
        lane = LANES.get(run.type)
        if lane in (CREATE, PATCHES, LOCAL):
            into = {CREATE: found.creates, PATCHES: found.patches, LOCAL: found.locals}[lane]
            into += [entry for entry in run.records() if not self.has(lane, entry.seq)]
        elif lane is None:
            found.foreign += len(run.datas)
        found.batches += planner.feed(run)

    def any(self, lane: str, first: int, last: int) -> bool:
        """Whether some of these may be settled, or in a batch whose bounds are already fixed."""
        state, epoch = self._state, self._epoch.id
        done, settled = state.done.get(epoch), state.lanes.get((epoch, lane))
        if (done is not None and done.last >= first) or (settled is not None and settled.last >= first):
            return True
        return any(b.epoch == epoch and b.lane == lane and b.last >= first for b in state.in_flight)

    def has(self, lane: str, seq: int) -> bool:
        """Whether this one is settled, or in a batch whose bounds are already fixed."""
        state, epoch = self._state, self._epoch.id
        if state.is_settled(epoch, lane, seq):
            return True
        return any(b.epoch == epoch and b.lane == lane and b.first <= seq <= b.last for b in state.in_flight)


def _line_end(fd: int, offset: int, size: int) -> int:
    """The first offset behind ``offset`` where a line ends, or ``size``."""
    while offset < size:
        block = os.pread(fd, 65536, offset)
        newline = block.find(b"\n")
        if newline >= 0:
            return offset + newline + 1
        if not block:
            break
        offset += len(block)
    return size


def read_records(session: str, uid: str, bounds: Bounds) -> list[Record]:
    """The records that journalled bounds mean; none when the segment is gone."""
    seed = record.checksum_seed(uid, bounds.epoch)
    try:
        fd = open_checked(os.path.join(session, layout.segment_name(bounds.epoch, bounds.n)))
    except FileNotFoundError:
        return []
    found: dict[int, Record] = {}
    try:
        for entry in scan(fd, seed, bounds.start, bounds.end, Scan(bounds.start)):
            if LANES.get(entry.type) == bounds.lane and bounds.first <= entry.seq <= bounds.last:
                found.setdefault(entry.seq, entry)
    finally:
        os.close(fd)
    return list(found.values())


def read_batch(session: str, uid: str, bounds: Bounds, attempt: int, renders: dict[str, Render]) -> Batch | None:
    """The batch that journalled bounds mean, the same bytes as before; None when its segment is gone."""
    records = read_records(session, uid, bounds)
    if not records:
        return None
    render = renders.get(bounds.lane)
    rendered = [render(entry.data) if render else (entry.data, 1) for entry in records]
    parts = [part for part, _ in rendered]
    size = sum(map(len, parts)) + len(parts)
    return Batch(bounds, attempt, parts, sum(units for _, units in rendered), size, len(parts))
