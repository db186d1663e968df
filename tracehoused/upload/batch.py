"""Which records go together into one request: lanes, bounds, and the planner that cuts. Pure.

A *lane* is one kind of request; lanes advance independently, so that a stuck image never holds the metrics. A batch lies within one
segment and covers a run of sequence numbers without a gap (counting the records of all lanes): what its range claims is what was read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, count
from operator import add
from typing import Callable, NamedTuple, Protocol

from tracehouse.spool import layout

__all__ = ["LANES", "Batch", "Bounds", "Limits", "Planner", "Record", "Render", "batch_key", "halves", "without"]

# what is only bookkeeping of the spool, and never sent
LOCAL = "local"
CREATE = "create"
SPANS = "spans"
METRICS = "metrics"
MEDIA = "media"
ARTIFACTS = "artifacts"
PATCHES = "patches"
# of dead letters only: the session's last word, which comes from a record and is sent by itself
CLOSING = "closing"

LANES: dict[bytes, str] = {
    b"segment": LOCAL,
    b"dropped": LOCAL,
    b"exit": LOCAL,
    b"close": LOCAL,
    b"trace": CREATE,
    b"run": CREATE,
    b"span": SPANS,
    b"metrics": METRICS,
    b"media": MEDIA,
    b"artifact": ARTIFACTS,
    b"trace_patch": PATCHES,
    b"run_patch": PATCHES,
    b"config_patch": PATCHES,
    b"push_model_card": PATCHES,
}
_FARTHEST = 2**63 - 1
# these carry many records a request; the other two one
JOINED = (SPANS, METRICS)
BATCHED = (*JOINED, MEDIA, ARTIFACTS)


class Record(NamedTuple):
    """A valid line: its place (bytes ``start`` to ``end`` of the segment), its type and its data's JSON text."""

    seq: int
    type: bytes
    data: bytes
    start: int
    end: int


class Bounds(NamedTuple):
    """What a batch covers: enough to read the same bytes again. ``n`` is the segment's number within the epoch."""

    lane: str
    epoch: str
    n: int
    start: int
    end: int
    first: int
    last: int

    def check(self) -> Bounds:
        """These bounds; ValueError when no batch can have them."""
        is_named = layout.parse_segment_name(layout.segment_name(self.epoch, self.n)) == (self.epoch, self.n)
        if (
            self.lane in BATCHED
            and is_named
            and 0 <= self.start <= self.end <= _FARTHEST
            and 0 < self.first <= self.last
        ):
            return self
        raise ValueError(f"no batch has these bounds: {tuple(self)}")


@dataclass(frozen=True)
class Limits:
    """A request holds at most ``units`` points or spans and ``bytes`` of body, unless one record alone has more."""

    points: int = 1000
    spans: int = 1000
    bytes: int = 1024 * 1024


@dataclass
class Batch:
    """Bounds and content. ``parts``: rendered records in order; ``units``: points or spans in them; ``count``: records."""

    bounds: Bounds
    attempt: int
    parts: list[bytes] = field(default_factory=list)
    units: int = 0
    size: int = 0
    count: int = 0


# each record's text on the wire, and how many points or spans that is; None: not to be sent now
Render = Callable[[bytes], "tuple[bytes, int] | None"]


class Settled(Protocol):
    """What is not to be planned: settled, or in a batch whose bounds are already fixed."""

    def any(self, lane: str, first: int, last: int) -> bool: ...

    def has(self, lane: str, seq: int) -> bool: ...


class Lines(Protocol):
    """Records of one type that follow one another with consecutive seqs."""

    type: bytes
    first: int
    start: int
    datas: list[bytes]
    ends: list[int]

    @property
    def last(self) -> int: ...

    def part(self, begin: int, end: int) -> Lines: ...


class Planner:
    """Cuts one segment's records into batches. Feed it runs in file order, then ``finish``. ``held``: records left out for now."""

    def __init__(
        self, epoch: str, n: int, attempt: int, limits: Limits, settled: Settled, renders: dict[str, Render]
    ) -> None:
        self._epoch, self._n, self._attempt = epoch, n, attempt
        self._most = {SPANS: limits.spans, METRICS: limits.points}
        self._bytes = limits.bytes
        self._settled = settled
        self._renders = renders
        self._open: dict[str, Batch] = {}
        self._previous = 0
        self.held = 0

    def feed(self, run: Lines) -> Iterator[Batch]:
        """Batches that this run completes."""
        if run.first != self._previous + 1:
            yield from self.finish()
        self._previous = run.last
        lane = LANES.get(run.type)
        if lane not in BATCHED:
            return
        if not self._settled.any(lane, run.first, run.last):
            yield from self._add(lane, run)
            return
        for at in range(len(run.datas)):
            if not self._settled.has(lane, run.first + at):
                yield from self._add(lane, run.part(at, at + 1))
            elif lane in self._open:
                yield self._open.pop(lane)

    def room(self, run: Lines) -> int:
        """How many of a run's first records would complete a batch that is open; 0 also where batches are small beside a round."""
        lane = LANES.get(run.type, "")
        batch = self._open.get(lane)
        joins = run.first == self._previous + 1 and not self._settled.any(lane, run.first, run.last)
        if batch is None or lane in self._renders or not joins:
            return 0
        return self._fitting(batch, _sizes(run.datas), range(len(run.datas) + 1), 0)

    def finish(self) -> Iterator[Batch]:
        """What is open, in the order of its first record."""
        for lane in list(self._open):
            yield self._open.pop(lane)

    def _add(self, lane: str, run: Lines) -> Iterator[Batch]:
        render = self._renders.get(lane)
        if render is None:
            yield from self._join(lane, run, run.datas, range(len(run.datas) + 1))
            return
        made = [render(data) for data in run.datas]
        begin = 0
        for at in [at for at, one in enumerate(made) if one is None]:
            # a batch has no gaps: it ends before what is not to be sent now
            yield from self._join_rendered(lane, run.part(begin, at), made[begin:at])
            if lane in self._open:
                yield self._open.pop(lane)
            self.held += 1
            begin = at + 1
        yield from self._join_rendered(lane, run.part(begin, len(made)) if begin else run, made[begin:])

    def _join_rendered(self, lane: str, run: Lines, made: list[tuple[bytes, int] | None]) -> Iterator[Batch]:
        parts, numbers = zip(*filter(None, made)) if made else ((), ())
        yield from self._join(lane, run, parts, [0, *accumulate(numbers)])

    def _join(self, lane: str, run: Lines, parts: Sequence[bytes], units: Sequence[int]) -> Iterator[Batch]:
        """``units``: how many are before each of the parts, and before the end."""
        sizes = _sizes(parts)
        at = 0
        while at < len(parts):
            batch = self._open.get(lane) or Batch(self._bounds(lane, run, at), self._attempt)
            to = self._fitting(batch, sizes, units, at) if lane in JOINED else at + 1
            if to > at:
                batch.parts += parts[at:to]
                batch.units += units[to] - units[at]
                batch.size += sizes[to] - sizes[at]
                batch.count += to - at
                batch.bounds = batch.bounds._replace(end=run.ends[to - 1], last=run.first + to - 1)
                self._open[lane] = batch
            if to < len(parts) or lane not in JOINED:
                yield self._open.pop(lane)
            at = to

    def _fitting(self, batch: Batch, sizes: Sequence[int], units: Sequence[int], at: int) -> int:
        """Up to where records from ``at`` on fit into a batch; an empty one takes at least one."""
        by_size = bisect_right(sizes, sizes[at] + self._bytes - batch.size) - 1
        by_units = bisect_right(units, units[at] + self._most[batch.bounds.lane] - batch.units) - 1
        return max(min(by_size, by_units), at if batch.count else at + 1)

    def _bounds(self, lane: str, run: Lines, at: int) -> Bounds:
        seq = run.first + at
        return Bounds(lane, self._epoch, self._n, run.ends[at - 1] if at else run.start, run.ends[at], seq, seq)


def _sizes(parts: Sequence[bytes]) -> list[int]:
    """Bytes before each of the parts and before the end, with a comma behind each."""
    return list(map(add, accumulate(map(len, parts), initial=0), count()))


def halves(bounds: Bounds, records: list[Record]) -> tuple[Bounds, Bounds]:
    """Bounds of the two halves of a batch of at least two records."""
    before, middle = records[len(records) // 2 - 1], records[len(records) // 2]
    return bounds._replace(end=before.end, last=before.seq), bounds._replace(start=middle.start, first=middle.seq)


def without(bounds: Bounds, records: list[Record], have: tuple[tuple[int, int], ...]) -> list[Bounds]:
    """Bounds of what a batch has beside the ranges that the server holds already."""
    cut: list[Bounds] = []
    joined = False
    for record in records:
        if any(first <= record.seq <= last for first, last in have):
            joined = False
        elif joined:
            cut[-1] = cut[-1]._replace(end=record.end, last=record.seq)
        else:
            cut.append(bounds._replace(start=record.start, end=record.end, first=record.seq, last=record.seq))
            joined = True
    return cut


def batch_key(uid: str, generation: int, destination: str, bounds: Bounds) -> str:
    """Idempotency-Key of a batch: the same for the same records at the same generation of the server's object."""
    from hashlib import sha256

    named = f"{uid}/{destination}/{generation}/{bounds.lane}/{bounds.epoch}/{bounds.first}-{bounds.last}"
    return sha256(named.encode()).hexdigest()[:40]
