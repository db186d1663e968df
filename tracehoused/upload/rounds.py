"""A round: as much of one writer's segments as is sorted, sent and settled in one go."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracehouse.exceptions import SpoolError
from tracehouse.spool import layout, record
from tracehoused.upload.batch import (
    ARTIFACTS,
    CREATE,
    JOINED,
    LANES,
    LOCAL,
    MEDIA,
    PATCHES,
    Batch,
    Bounds,
    Limits,
    Planner,
    Record,
    Render,
)
from tracehoused.upload.intervals import Intervals
from tracehoused.upload.opening import open_checked
from tracehoused.upload.patches import target_of
from tracehoused.upload.reader import Epoch, Run, Scan, line_start, scan, scan_runs
from tracehoused.upload.state import State

__all__ = ["TIMED", "Reading", "Round", "is_object", "read_batch", "read_records"]

# a round ends with the batch that reaches this: four to nine of them, for between two rounds nothing is under way, and a server waits
ROUND_BYTES = 4 * 1024 * 1024
# records that tell when they were written
TIMED = (b"segment", b"trace", b"span", b"run", b"metrics", b"run_patch", b"exit", b"close")
# deeper than any emitter of ours writes, and far from where reading or writing it ends in a RecursionError
_MOST_LEVELS = 200
# records of these lanes are looked into before they are sent: what cannot be read is damage
_LOOKED_INTO = (CREATE, PATCHES, LOCAL, MEDIA, ARTIFACTS)


@dataclass
class Round:
    """``seen``: all valid records read; ``ends``: the cursors behind them, by segment; ``last``: the last one that tells a time;
    ``foreign``: how many are of types that this version does not know; ``held``: how many are not to be sent now; ``numbers``: of the
    segments in which the listed records lie, by seq; ``targets``: what they create or change. Damage is what was not counted before."""

    epoch: Epoch
    ends: dict[int, int] = field(default_factory=dict)
    seen: Intervals = field(default_factory=Intervals)
    creates: list[Record] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    patches: list[Record] = field(default_factory=list)
    locals: list[Record] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    last: Record | None = None
    size: int = 0
    foreign: int = 0
    held: int = 0
    damaged_lines: int = 0
    damaged_bytes: int = 0
    targets: set[tuple[str, str]] = field(default_factory=set)
    is_full: bool = False

    def takes(self, entry: Record, fields: dict[str, Any]) -> bool:
        """A round's creations go out before its patches: what is created that was created or changed before begins the next round."""
        lane = LANES[entry.type]
        if lane in (CREATE, PATCHES):
            target = target_of(entry.type, fields)
            if lane == CREATE and target in self.targets:
                return False
            self.targets.add(target)
        return True


class Reading:
    """Reads one writer's segments in rounds, each from the checkpoint's cursor in it to the size found when the pass began: in a copy that
    still arrives a segment may come, or grow, after those that follow it.

    ``ended``: its writer writes no more, so that bytes behind the last newline are torn. ``counted``: the places up to which damage was
    counted before, by segment.
    """

    def __init__(
        self,
        session: str,
        uid: str,
        epoch: Epoch,
        state: State,
        limits: Limits,
        renders: dict[str, Render],
        *,
        ended: bool = False,
        counted: Mapping[int, int] | None = None,
    ):
        self._session = session
        self._ended = ended
        self._counted = counted or {}
        self._epoch = epoch
        self._seed = record.checksum_seed(uid, epoch.id)
        self._state = state
        self._limits = limits
        self._renders = renders
        self._at = dict(state.cursors.get(epoch.id, {}))
        self._seen = Intervals()  # of this pass: of several valid lines of one seq the first counts
        self._coming: Round | None = None
        self._steps: Iterator[None] | None = None
        self.trouble: SpoolError | OSError | None = None  # why nothing is read from some place on

    def next(self) -> Round | None:
        """The next round; None when all is read."""
        found = self.peek()
        self._steps = None
        return found

    def peek(self) -> Round | None:
        """What ``next`` is going to return."""
        for _ in self.ahead():
            pass
        return self._coming

    def ahead(self) -> Iterator[None]:
        """Reads on in the round that ``next`` is going to return, about a millisecond's worth a step: all of it takes as long as several
        requests do, none of whose answers is to lie waiting for it."""
        if self._steps is None:
            self._steps = self._round()
        return self._steps

    def _round(self) -> Iterator[None]:
        found = Round(self._epoch)
        for n, size in sorted(self._epoch.sizes.items()):
            # a copy may be behind what was acknowledged elsewhere: wait
            if self._at.get(n, 0) < size and found.size < ROUND_BYTES and not (found.is_full or self.trouble):
                try:
                    yield from self._read(found, n, size)
                except (SpoolError, OSError) as error:
                    self.trouble = error
                else:
                    self._at[n] = found.ends[n]
        self._coming = found if found.size or found.damaged_bytes else None

    def _read(self, found: Round, n: int, size: int) -> Iterator[None]:
        planner = Planner(self._epoch.id, n, self._epoch.attempt, self._limits, self, self._renders)
        fd = open_checked(os.path.join(self._session, layout.segment_name(self._epoch.id, n)))
        try:
            start = line_start(fd, self._at.get(n, 0))
            result = Scan(end=start, count_from=self._counted.get(n, 0))
            for run in self._runs(fd, start, size, result):
                take = self._sort if found.size + run.start - start < ROUND_BYTES else self._fill
                taken = take(found, planner, run, n)
                if taken < len(run.datas):
                    result.end = run.ends[taken - 1] if taken else run.start
                    found.is_full = True
                    break
                yield
        finally:
            os.close(fd)
        found.batches += planner.finish()
        found.held += planner.held
        is_final = self._ended or n != max(self._epoch.sizes)
        if is_final and result.tail:
            # it grows no more: what has no newline at its end was torn
            result.damage(size - result.tail, size)
        found.ends[n] = result.end
        found.size += result.end - start
        found.damaged_lines += result.damaged_lines
        found.damaged_bytes += result.damaged_bytes

    def _runs(self, fd: int, start: int, size: int, result: Scan) -> Iterator[Run]:
        """As far as the disk lets them be read."""
        try:
            yield from scan_runs(fd, self._seed, start, size, result)
        except OSError as error:
            self.trouble = error

    # how many of a run's first records are taken

    def _fill(self, found: Round, planner: Planner, run: Run, n: int) -> int:
        """What fits into the batch that is open, so that no round ends with a small one."""
        fitting = planner.room(run) if run.first > self._seen.last else 0
        return self._take(found, planner, run.part(0, fitting), n) if fitting else 0

    def _sort(self, found: Round, planner: Planner, run: Run, n: int) -> int:
        if run.first > self._seen.last:
            return self._take(found, planner, run, n)
        for at, seq in enumerate(range(run.first, run.last + 1)):
            if seq not in self._seen and not self._take(found, planner, run.part(at, at + 1), n):
                return at
        return len(run.datas)

    def _take(self, found: Round, planner: Planner, run: Run, n: int) -> int:
        lane, taken = LANES.get(run.type), len(run.datas)
        if lane in _LOOKED_INTO:
            taken = self._look_into(lane, found, planner, run, n)
        else:
            found.batches += planner.feed(run)
        if lane is None:
            found.foreign += taken
        if taken:
            last = run.first + taken - 1
            self._seen.add(run.first, last)
            found.seen.add(run.first, last)
            if run.type in TIMED:
                found.last = next(run.part(taken - 1, taken).records())
        return taken

    def _look_into(self, lane: str, found: Round, planner: Planner, run: Run, n: int) -> int:
        listed = {CREATE: found.creates, PATCHES: found.patches, LOCAL: found.locals}.get(lane)
        for at, entry in enumerate(run.records()):
            is_new = not self.has(lane, entry.seq)
            fields = object_of(entry.data) if is_new else {}
            if fields is None:
                if entry.start >= self._counted.get(n, 0):
                    found.damaged_lines += 1
                    found.damaged_bytes += entry.end - entry.start
                continue
            if is_new and not found.takes(entry, fields):
                return at
            found.batches += planner.feed(run.part(at, at + 1))
            if is_new and listed is not None:
                listed.append(entry)
                found.numbers[entry.seq] = n
        return len(run.datas)

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


def is_object(data: bytes) -> bool:
    return object_of(data) is not None


def object_of(data: bytes) -> dict[str, Any] | None:
    """A record with a valid checksum may still hold nonsense, in a spool that no emitter of ours wrote: what is no JSON object, numbers
    that JSON has none of, and what is nested so deep that it could not be written again. That is None."""
    try:
        fields = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and _is_within(fields, _MOST_LEVELS) else None


def _is_within(value: object, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    return levels > 0 and all(
        _is_within(one, levels - 1) for one in (value.values() if isinstance(value, dict) else value)
    )


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON's")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def read_records(session: str, uid: str, bounds: Bounds) -> list[Record]:
    """The records that journalled bounds mean; none when not all of them are here any more, or not yet."""
    seed = record.checksum_seed(uid, bounds.epoch)
    try:
        fd = open_checked(os.path.join(session, layout.segment_name(bounds.epoch, bounds.n)))
    except FileNotFoundError:
        return []
    found: list[Record] = []
    seen = Intervals()
    try:
        for entry in scan(fd, seed, bounds.start, bounds.end, Scan(bounds.start)):
            if entry.seq in seen or not bounds.first <= entry.seq <= bounds.last:
                continue
            seen.add(entry.seq, entry.seq)
            if LANES.get(entry.type) == bounds.lane and (bounds.lane not in _LOOKED_INTO or is_object(entry.data)):
                found.append(entry)
    finally:
        os.close(fd)
    return found if seen.covers(bounds.first, bounds.last) else []


def read_batch(session: str, uid: str, bounds: Bounds, attempt: int, renders: dict[str, Render]) -> Batch | None:
    """The batch that journalled bounds mean, the same bytes as before; None when it cannot be had."""
    records = read_records(session, uid, bounds)
    render = renders.get(bounds.lane)
    rendered = [made for entry in records if (made := render(entry.data) if render else (entry.data, 1)) is not None]
    if not records or len(rendered) < len(records) or (len(records) > 1 and bounds.lane not in JOINED):
        return None
    parts = [part for part, _ in rendered]
    size = sum(map(len, parts)) + len(parts)
    return Batch(bounds, attempt, parts, sum(units for _, units in rendered), size, len(parts))
