"""Which batches may be under way at once, and what is done while they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, wait
from typing import Any

from tracehoused.upload.batch import ARTIFACTS, MEDIA, METRICS, SPANS, Batch

__all__ = ["may_join", "work_until_done"]

# requests of one lane under way at once: the order in which a conversation's spans arrive is its order
_AT_ONCE = {SPANS: 1, METRICS: 2, MEDIA: 3, ARTIFACTS: 3}
# seconds that a request's thread is left alone for: one that needs the interpreter beside a busy thread waits 5 ms for each turn
_HANDOVER = 0.001


def may_join(batch: Batch, under_way: list[Batch]) -> bool:
    """Whether a batch may go out beside those: points of one step, and media of one key and step, must keep their order."""
    beside = [other for other in under_way if other.bounds.lane == batch.bounds.lane]
    if len(beside) >= _AT_ONCE[batch.bounds.lane]:
        return False
    return all(_marks(batch).isdisjoint(_marks(other)) for other in beside)


def _marks(batch: Batch) -> set[object]:
    """What two batches have in common when their order matters: a step, a key and its step, an artifact's name."""
    if batch.bounds.lane == METRICS:
        return {part.partition(b',"step":')[2].partition(b",")[0] for part in batch.parts}
    if batch.bounds.lane in (MEDIA, ARTIFACTS):
        fields = json.loads(batch.parts[0])
        return {(str(fields.get("key", fields.get("name"))), str(fields.get("step")))}
    return set()


def work_until_done(future: Future[Any], work: Iterator[object]) -> None:
    """Take from ``work``, which is done in small steps, as long as there is nothing but an answer to wait for."""
    wait([future], _HANDOVER)
    while not future.done() and next(work, work) is not work:
        pass
