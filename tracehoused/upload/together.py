"""Which batches may be under way at once, and what is done while they are."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any, Callable, NamedTuple, TypeVar

from tracehoused.upload.batch import ARTIFACTS, JOINED, MEDIA, METRICS, SPANS, Batch, Bounds

__all__ = [
    "QUICK",
    "SLOW_NEXT",
    "Sent",
    "Work",
    "alike_from",
    "done_here",
    "fills",
    "is_answered",
    "marks_of",
    "may_join",
    "spans_before",
]

T = TypeVar("T")

# requests of one lane under way at once
_AT_ONCE = {SPANS: 2, METRICS: 2, MEDIA: 3, ARTIFACTS: 3}
# of files of so many bytes together: what a small one costs is above all the wait for the server's disk, and its answers share that
_SMALL_AT_ONCE, _SMALL = 8, 1 << 20
# seconds that a request's thread is left alone for: one that needs the interpreter beside a busy thread waits 5 ms for each turn
_HANDOVER = 0.001
# seconds, with what is done meanwhile, within which a server's answer is not worth a second request beside it
QUICK = 0.004
# what a step yields before one that takes a disk's time
SLOW_NEXT = object()


class Sent(NamedTuple):
    """A batch under way, its ``marks`` and the bytes of its body; ``is_ahead``: of the answer to those that it is to come after, whose key
    went with it."""

    batch: Batch
    marks: frozenset[object]
    size: int
    is_ahead: bool
    reply: Future[Any]


def may_join(lane: str, marks: frozenset[object], size: int, under_way: Iterable[Sent], *, ordered: bool) -> bool:
    """Whether a batch with these ``marks_of`` it, of so many bytes, may go out beside those: points of one step, and media of one key and
    step, must keep their order. That in which spans arrive is their conversation's: ``ordered`` is what a server sees to that is told
    which ones are to be there before."""
    beside = [sent for sent in under_way if sent.batch.bounds.lane == lane]
    are_small = lane in (MEDIA, ARTIFACTS) and size + sum(sent.size for sent in beside) <= _SMALL
    if len(beside) >= (_SMALL_AT_ONCE if are_small else _AT_ONCE[lane]) or (beside and lane == SPANS and not ordered):
        return False
    return all(marks.isdisjoint(sent.marks) for sent in beside)


def fills(lane: str, under_way: Iterable[Sent], *, ordered: bool, quick: bool) -> bool:
    """Whether one more batch leaves nothing to do but wait, so that the thread that asks can send it itself: another would only cost, where
    the server is ``quick``. Not so for spans of which two may go out: a server that takes them one by one would have none to go on with
    when it has answered both."""
    if lane == SPANS:
        return not ordered
    return quick or sum(sent.batch.bounds.lane == lane for sent in under_way) + 1 >= _AT_ONCE[lane]


def is_answered(under_way: Sequence[Sent]) -> bool:
    """Whether the first of these is."""
    return bool(under_way) and under_way[0].reply.done()


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


def alike_from(batches: Sequence[Batch]) -> int:
    """The index from which on all batches are of one lane, of which a request takes many records."""
    at = len(batches)
    while at and batches[at - 1].bounds.lane == batches[-1].bounds.lane in JOINED:
        at -= 1
    return at


def done_here(call: Callable[[], T]) -> Future[T]:
    """As an executor would, by the caller itself."""
    future: Future[T] = Future()
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised again by result()
        future.set_exception(error)
    return future


class Work:
    """What is done in small steps as long as there is nothing but an answer to wait for. A slow one is begun where a wait begins, but for
    the last wait there is."""

    def __init__(self, steps: Iterator[object]) -> None:
        self._steps = steps
        self._slow_next = False
        self._may_be_slow = True
        self._is_last = False
        self._first: Callable[[], object] | None = None
        self._error: Exception | None = None

    def begin_wait(self, first: Callable[[], object] | None = None, *, last: bool = False) -> None:
        """A wait for an answer begins, the last one or not; ``first`` is to be done before all else."""
        self._raise()
        self._first, self._may_be_slow, self._is_last = first, True, last

    def step(self) -> bool:
        """Do one, if there is one for now; what it raises is raised by what comes after this wait."""
        if self._error is not None or (self._first is None and self._slow_next and not self._may_be_slow):
            return False
        try:
            return self._step()
        except Exception as error:  # noqa: BLE001 - raised again where the wait ends
            self._error = error
            return False

    def _step(self) -> bool:
        first, self._first = self._first, None
        if first is not None:
            first()
            return True
        self._may_be_slow = self._is_last
        told = next(self._steps, self)
        self._slow_next = told is SLOW_NEXT
        return told is not self

    def until_done(self, future: Future[Any], *, last: bool = False) -> None:
        """Wait for an answer that another thread waits for."""
        self.begin_wait(last=last)
        if not future.done():
            wait([future], _HANDOVER)
        while not future.done() and self.step():
            pass

    def finish(self) -> None:
        """Do all that is left."""
        self._raise()
        deque(self._steps, maxlen=0)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
