"""Which records go together into one request: lanes, bounds, and the planner that cuts. Pure.

A *lane* is one kind of request; lanes advance independently, so that a stuck image never holds the metrics. A batch lies within one
segment and covers a run of sequence numbers without a gap (counting the records of all lanes): what its range claims is what was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable, NamedTuple

__all__ = ["LANES", "Batch", "Bounds", "Limits", "Planner", "Record", "Render", "batch_key", "halves", "without"]

# what is only bookkeeping of the spool, and never sent
LOCAL = "local"
CREATE = "create"
SPANS = "spans"
METRICS = "metrics"
MEDIA = "media"
ARTIFACTS = "artifacts"
PATCHES = "patches"

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
# these carry many records a request; the other two one
_JOINED = (SPANS, METRICS)
_BATCHED = (*_JOINED, MEDIA, ARTIFACTS)


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


@dataclass(frozen=True)
class Limits:
    """A request holds at most ``units`` points or spans and ``bytes`` of body, unless one record alone has more."""

    points: int = 1000
    spans: int = 1000
    bytes: int = 1024 * 1024


@dataclass
class Batch:
    """Bounds and content. ``parts``: rendered records in order; ``units``: points or spans in them."""

    bounds: Bounds
    attempt: int
    records: list[Record] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    units: int = 0
    size: int = 0


# a record's text on the wire and how many points or spans that is
Render = Callable[[Record], "tuple[bytes, int]"]


class Planner:
    """Cuts one segment's records into batches. Feed it records in file order, then ``finish``."""

    def __init__(
        self,
        epoch: str,
        n: int,
        attempt: int,
        limits: Limits,
        is_settled: Callable[[str, int], bool],
        renders: dict[str, Render],
    ) -> None:
        self._epoch, self._n, self._attempt = epoch, n, attempt
        self._most = {SPANS: limits.spans, METRICS: limits.points}
        self._bytes = limits.bytes
        self._is_settled = is_settled
        self._renders = renders
        self._open: dict[str, Batch] = {}
        self._previous = 0

    def feed(self, record: Record) -> Iterator[Batch]:
        """Batches that are complete before this record."""
        if record.seq != self._previous + 1:
            yield from self.finish()
        self._previous = record.seq
        lane = LANES.get(record.type)
        if lane not in _BATCHED:
            return
        if self._is_settled(lane, record.seq):
            if lane in self._open:
                yield self._close(lane)
            return
        render = self._renders.get(lane)
        part, units = render(record) if render else (record.data, 1)
        batch = self._open.get(lane)
        if batch is not None and (
            batch.units + units > self._most.get(lane, 0) or batch.size + len(part) + 1 > self._bytes
        ):
            yield self._close(lane)
            batch = None
        if batch is None:
            bounds = Bounds(lane, self._epoch, self._n, record.start, record.end, record.seq, record.seq)
            batch = self._open[lane] = Batch(bounds, self._attempt)
        batch.records.append(record)
        batch.parts.append(part)
        batch.units += units
        batch.size += len(part) + 1
        if lane not in _JOINED:
            yield self._close(lane)

    def finish(self) -> Iterator[Batch]:
        """What is open, in the order of its first record."""
        for lane in list(self._open):
            yield self._close(lane)

    def _close(self, lane: str) -> Batch:
        batch = self._open.pop(lane)
        last = batch.records[-1]
        batch.bounds = batch.bounds._replace(end=last.end, last=last.seq)
        return batch


def halves(batch: Batch) -> tuple[Bounds, Bounds]:
    """Bounds of the two halves of a batch of at least two records."""
    middle = batch.records[len(batch.records) // 2]
    before = batch.records[len(batch.records) // 2 - 1]
    whole = batch.bounds
    return whole._replace(end=before.end, last=before.seq), whole._replace(start=middle.start, first=middle.seq)


def without(batch: Batch, have: tuple[tuple[int, int], ...]) -> list[Bounds]:
    """Bounds of what a batch has beside the ranges that the server holds already."""
    cut: list[Bounds] = []
    joined = False
    for record in batch.records:
        if any(first <= record.seq <= last for first, last in have):
            joined = False
        elif joined:
            cut[-1] = cut[-1]._replace(end=record.end, last=record.seq)
        else:
            cut.append(batch.bounds._replace(start=record.start, end=record.end, first=record.seq, last=record.seq))
            joined = True
    return cut


def batch_key(uid: str, generation: int, destination: str, bounds: Bounds) -> str:
    """Idempotency-Key of a batch: the same for the same records at the same generation of the server's object."""
    from hashlib import sha256

    named = f"{uid}/{destination}/{generation}/{bounds.lane}/{bounds.epoch}/{bounds.first}-{bounds.last}"
    return sha256(named.encode()).hexdigest()[:40]
