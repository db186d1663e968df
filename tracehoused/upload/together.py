"""Which batches may be under way at once, and what is done while they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

from tracehoused.upload.batch import ARTIFACTS, MEDIA, METRICS, SPANS, Batch, Bounds

__all__ = ["Sent", "marks_of", "may_join", "spans_before", "work_until_done"]

# requests of one lane under way at once
_AT_ONCE = {SPANS: 2, METRICS: 2, MEDIA: 3, ARTIFACTS: 3}
# seconds that a request's thread is left alone for: one that needs the interpreter beside a busy thread waits 5 ms for each turn
_HANDOVER = 0.001


class Sent(NamedTuple):
    """A batch under way and its ``marks``; ``is_ahead``: of the answer to those that it is to come after, whose key went with it."""

    batch: Batch
    marks: frozenset[object]
    is_ahead: bool
    reply: Future[Any]


def may_join(lane: str, marks: frozenset[object], under_way: Iterable[Sent], *, ordered: bool) -> bool:
    """Whether a batch with these ``marks_of`` it may go out beside those: points of one step, and media of one key and step, must keep
    their order. That in which spans arrive is their conversation's: ``ordered`` is what a server sees to that is told which ones are to be
    there before."""
    beside = [sent.marks for sent in under_way if sent.batch.bounds.lane == lane]
    if len(beside) >= _AT_ONCE[lane] or (beside and lane == SPANS and not ordered):
        return False
    return all(map(marks.isdisjoint, beside))


def spans_before(batch: Batch, under_way: Iterable[Sent]) -> Bounds | None:
    """Of the spans under way the last ones, where the batch has spans too."""
    before = [sent.batch.bounds for sent in under_way if sent.batch.bounds.lane == batch.bounds.lane == SPANS]
    return before[-1] if before else None


def marks_of(batch: Batch) -> frozenset[object]:
    """What two batches have in common when their order matters: a step, a key and its step, an artifact's name."""
    if batch.bounds.lane == METRICS:
        return frozenset(part.partition(b',"step":')[2].partition(b",")[0] for part in batch.parts)
    if batch.bounds.lane in (MEDIA, ARTIFACTS):
        fields = json.loads(batch.parts[0])
        return frozenset([(str(fields.get("key", fields.get("name"))), str(fields.get("step")))])
    return frozenset()


def work_until_done(future: Future[Any], work: Iterator[object]) -> None:
    """Take from ``work``, which is done in small steps, as long as there is nothing but an answer to wait for."""
    wait([future], _HANDOVER)
    while not future.done() and next(work, work) is not work:
        pass
