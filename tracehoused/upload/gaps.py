"""Gaps in a writer's numbers where whole segments of it are not here, as in a copy that was not finished: nothing else tells of those.

No gap between segments that follow one another is taken for a loss: damage is told as such, and an emitter passes over numbers of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehoused.upload.context import Context
from tracehoused.upload.intervals import Intervals
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Epoch, Scan, scan
from tracehoused.upload.receipt import read_receipt
from tracehoused.upload.state import SENSELESS, State
from tracehoused.upload.tails import last_seq

__all__ = ["COPY_AGAIN", "Gap", "gaps", "missing", "missing_records", "note_missing"]

COPY_AGAIN = "where this is a copy, copy again"


@dataclass(frozen=True)
class Gap:
    """A writer's segments ``first`` to ``last`` are not here, and with them so many ``records``."""

    epoch: str
    first: int
    last: int
    records: int

    def __str__(self) -> str:
        names = " to ".join(layout.segment_name(self.epoch, n) for n in sorted({self.first, self.last}))
        return f"{missing_records(self.records)}: {names} {'is' if self.first == self.last else 'are'} not here"


def missing_records(records: int) -> str:
    """For people: that so many are."""
    return "1 record is missing" if records == 1 else f"{records:,} records are missing"


def missing(facts: Mapping[str, Any]) -> int:
    """How many records gaps hid when last all that is here of a session was settled."""
    return sum((facts.get("missing") or {}).values())


def note_missing(context: Context, epochs: list[Epoch]) -> None:
    """Once all that is here is settled. What is known of writers that are not here any more stays."""
    state = context.checkpoint.state
    known = state.facts.get("missing") or {}
    found = {epoch: records for epoch, records in known.items() if epoch not in {one.id for one in epochs}}
    for epoch in epochs:
        records = sum(gap.records for gap in gaps(context.session, context.uid, epoch, state))
        if records:
            found[epoch.id] = records
    if found != known:
        context.checkpoint.fact("missing", found)


def gaps(session: str, uid: str, epoch: Epoch, state: State, here: Iterable[tuple[int, int]] = ()) -> Iterator[Gap]:
    """``epoch`` is measured; ``here``: ranges of seqs that were read of it, settled or not."""
    numbers = [-1, *epoch.sizes]
    if numbers[-1] + 2 == len(numbers):
        return
    known = [*here, *_settled(state, epoch), *_deleted(session, epoch)]
    for before, after in zip(numbers, numbers[1:]):
        if after == before + 1 or _has_come(session, epoch, before + 1, after - 1):
            continue
        sizes_before = {n: size for n, size in epoch.sizes.items() if n <= before}
        first = last_seq(session, uid, replace(epoch, sizes=sizes_before)) + 1
        last = _header_seq(session, uid, epoch, after) - 1
        # each segment has a header, which is nothing that anybody misses
        explained = after - before - 1 + _dropped(state, epoch, first) + _count(known, first, last)
        if last - first + 1 > explained:
            yield Gap(epoch.id, before + 1, after - 1, last - first + 1 - explained)


def _settled(state: State, epoch: Epoch) -> Iterator[tuple[int, int]]:
    yield from state.done.get(epoch.id, ())
    for (of, _), ranges in state.lanes.items():
        yield from ranges if of == epoch.id else ()


def _deleted(session: str, epoch: Epoch) -> Iterator[tuple[int, int]]:
    """What receipts say was deleted here of a writer that has gone on since."""
    upload = os.path.join(session, layout.UPLOAD)
    for name in os.listdir(upload) if os.path.isdir(upload) else ():
        try:
            yield 1, int((read_receipt(os.path.join(upload, name)) or {})["ends"][epoch.id][1])
        except SENSELESS:
            continue


def _has_come(session: str, epoch: Epoch, *numbers: int) -> bool:
    """A directory that grows while it is listed may be listed without what came just then."""
    return any(os.path.lexists(os.path.join(session, layout.segment_name(epoch.id, n))) for n in numbers)


def _header_seq(session: str, uid: str, epoch: Epoch, n: int) -> int:
    """0 where the header is damaged: how far numbers had come is not known then."""
    fd = open_checked(os.path.join(session, layout.segment_name(epoch.id, n)))
    try:
        first = next(scan(fd, framing.checksum_seed(uid, epoch.id), 0, epoch.sizes[n], Scan(0)), None)
    finally:
        os.close(fd)
    return first.seq if first is not None and first.type == b"segment" else 0


def _dropped(state: State, epoch: Epoch, seq: int) -> int:
    """What the first ``dropped`` record behind this number tells of: some of it may have had numbers that nobody wrote."""
    told = {}
    for name, loss in (state.facts.get("dropped") or {}).items():
        of, _, number = name.partition("-")
        if of == epoch.id and number.isdecimal() and int(number) >= seq:
            told[int(number)] = loss[0]
    return int(told[min(told)]) if told else 0


def _count(known: Iterable[tuple[int, int]], first: int, last: int) -> int:
    """How many of these are known."""
    if first > last:
        return 0
    return len(Intervals((max(first, low), min(last, high)) for low, high in known if low <= last and high >= first))
