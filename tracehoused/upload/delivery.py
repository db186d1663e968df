"""Batches to the server, and what its answer means for the records in it: settled, cut again, in the dead letters, or left for later.

A 5xx is the batch's own fault only where the server takes other requests: by then it has failed ``STRIKES`` times, and something else
succeeded in this pass or the session's upsert does so now. So is a connection that breaks, where that upsert is answered right after it:
what lies between may carry all but this.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from functools import lru_cache, partial
from typing import Callable, Union

from tracehoused.exceptions import BodyError
from tracehoused.http.request import FileBody, Request
from tracehoused.http.retry import Answer, Verdict
from tracehoused.upload import wire
from tracehoused.upload.batch import MEDIA, METRICS, SPANS, Batch, Bounds, Record, batch_key, halves, without
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.mediafiles import UNSUPPORTED, may_come, media_of
from tracehoused.upload.rounds import read_batch, read_records
from tracehoused.upload.together import (
    QUICK,
    Sent,
    Work,
    alike_from,
    done_here,
    fills,
    is_answered,
    marks_of,
    may_join,
    spans_before,
)

__all__ = ["Delivery"]

STRIKES = 5
# failures in a row, with no success, that are the server's and not a record's: of batches, and of the parts of one that is bisected
_MOST_BATCHES = 3
_MOST_PARTS = 16


# the server's answer; why a record can never be sent as it is; what went wrong with its file; or None to leave it for later
Reply = Union[Answer, str, BodyError, None]

# of points that the server could not hold there are none to send
_NOTHING = Answer(Verdict.ACCEPTED, 204, None, "")


class Delivery:
    """Sends batches of one session. ``is_known()``: ask the server whether it still has the session; Halt when it cannot be asked.
    ``recreate(spans, bounds)``: have it make the traces that these spans belong to; whether it took all. ``has_ended(epoch)``: that
    writer writes no more. ``awaited`` grows by batches of media whose files may come later."""

    def __init__(
        self,
        context: Context,
        server_id: str | None,
        is_known: Callable[[], bool],
        recreate: Callable[[list[Record], Bounds], bool],
        has_ended: Callable[[str], bool],
    ) -> None:
        self._context = context
        self._has_ended = has_ended
        self._recreate = recreate
        self._recreated: dict[Bounds, bool] = {}
        self.awaited: set[Bounds] = set()
        self._server_id = server_id
        self._is_known = is_known
        self._failed_in_a_row = 0
        self._bisecting = False
        self._succeeded = False
        self._spans_wait = False
        self._is_quick = False

    def hold_spans(self) -> None:
        """None of what follows may overtake what is left for later: the order in which they arrive is the conversation's."""
        self._spans_wait = True

    def waits(self, bounds: Bounds) -> bool:
        """It is not to be sent in this pass."""
        return self._spans_wait and bounds.lane == SPANS

    def deliver_all(
        self, batches: list[Batch], pool: Executor, delivered: list[Bounds], meanwhile: Iterator[object]
    ) -> None:
        """Send batches, several at once where their order does not matter. ``delivered`` grows by what is settled, also when one halts;
        ``meanwhile`` is taken from as long as there is nothing to do but wait for an answer, and to its end before this one has."""
        under_way: deque[Sent] = deque()
        work = Work(meanwhile)
        ordered = self._context.capabilities.after
        # a batch's body is made while those before it are under way; a file is read once, and checked as it goes out
        make = lru_cache(2)(lambda at: (self._prepared(batches[at], read=False), marks_of(batches[at])))
        alike = alike_from(batches)
        try:
            for at, batch in enumerate(batches):
                if self.waits(batch.bounds):
                    continue
                (ready, marks), lane = make(at), batch.bounds.lane
                size = ready.size if isinstance(ready, Request) else 0
                while is_answered(under_way) or not may_join(lane, marks, size, under_way, ordered=ordered):
                    work.until_done(under_way[0].reply)
                    self._take(under_way, delivered)
                if self.waits(batch.bounds):
                    continue
                before = spans_before(batch, under_way)
                if before is not None and isinstance(ready, Request):
                    ready = replace(ready, after=self._key(before))
                if at >= alike and fills(lane, under_way, ordered=ordered, quick=self._is_quick):
                    is_last = at == len(batches) - 1
                    work.begin_wait(None if is_last else partial(make, at + 1), last=is_last)
                    began = time.monotonic()
                    reply = done_here(partial(self._send, ready, work.step))
                    self._is_quick = time.monotonic() - began < QUICK
                else:
                    reply = pool.submit(self._send, ready)
                under_way.append(Sent(batch, marks, size, before is not None, reply))
            while under_way:
                work.until_done(under_way[0].reply, last=True)
                if len(under_way) == 1:
                    work.finish()
                self._take(under_way, delivered)
        finally:
            for sent in under_way:
                if sent.reply.exception() is None and _is_accepted(sent.reply.result()):
                    self._count_omitted(sent.batch, sent.reply.result())
                    delivered.append(sent.batch.bounds)

    def _key(self, bounds: Bounds) -> str:
        return batch_key(self._context.uid, self._context.generation, self._context.destination, bounds)

    def _take(self, under_way: deque[Sent], delivered: list[Bounds]) -> None:
        batch, _, _, is_ahead, future = under_way.popleft()
        reply = future.result()
        if is_ahead and self.waits(batch.bounds) and not _is_accepted(reply):
            reply = None  # what it was to come after is not there
        elif isinstance(reply, BodyError) or (is_ahead and _is_early(reply)):
            reply = self._ask(batch)
        if self._settle_reply(batch, reply):
            delivered.append(batch.bounds)
        batch.parts = []  # a round's texts need not all stay in memory until its end

    def deliver(self, batch: Batch) -> bool:
        """True when all of the batch's records are settled, one way or the other."""
        return not self.waits(batch.bounds) and self._settle_reply(batch, self._ask(batch))

    def _settle_reply(self, batch: Batch, reply: Reply) -> bool:
        if isinstance(reply, str):
            return self._bury(batch, None, reply, parked=True)
        if isinstance(reply, BodyError):
            self._context.troubles.append(str(reply))
            return False
        settled = reply is not None and self._settle(batch, reply)
        if not settled and batch.bounds.lane == SPANS:
            self.hold_spans()
        return settled

    def _ask(self, batch: Batch) -> Reply:
        """What may have failed before: nothing goes out unless all of it can, and the journal can be written: where it cannot, no answer is
        known the next time, and each time is one more."""
        ready = self._prepared(batch, read=True)
        checkpoint = self._context.checkpoint
        if isinstance(ready, Request) and batch.bounds in checkpoint.state.in_flight:
            checkpoint.note({"op": "batch", "bounds": list(batch.bounds)})
            checkpoint.commit()
        return self._send(ready)

    def _prepared(self, batch: Batch, *, read: bool) -> Request | Reply:
        """The request, or what stands in for its answer where there is nothing to send. ``read``: as of ``checked_media``."""
        context = self._context
        bounds = batch.bounds
        if bounds.lane == METRICS and batch.units == 0:
            return _NOTHING
        media = None
        if bounds.lane == MEDIA:
            found = media_of(context, batch, read=read)
            if isinstance(found, str) and may_come(found) and not self._has_ended(bounds.epoch):
                context.troubles.append(found)
                self.awaited.add(bounds)
                return None
            if not isinstance(found, FileBody):
                return found
            media = found
        return wire.batch_request(batch, self._server_id, uid=context.uid, key=self._key(bounds), media=media)

    def _send(self, ready: Request | Reply, meanwhile: Callable[[], bool] | None = None) -> Reply:
        if not isinstance(ready, Request):
            return ready
        try:
            return self._context.ask(ready, meanwhile, may_be_lost=True)
        except BodyError as error:
            return error

    def _settle(self, batch: Batch, answer: Answer) -> bool:
        verdict = answer.verdict
        if verdict is Verdict.ACCEPTED:
            self._failed_in_a_row = 0
            self._succeeded = True
            self._context.note_sent(batch.count, batch.size)
            self._count_omitted(batch, answer)
            return True
        if verdict is Verdict.OVERLAP and (parts := self._apart_from(batch, answer)) is not None:
            return self._redeliver(batch, parts)
        if verdict is Verdict.MISSING and not self._is_known():
            raise Halt("forgotten", answer.reason, scope="session")
        if verdict is Verdict.MISSING and self._is_of_rollouts(batch) and batch.bounds not in self._recreated:
            self._recreated[batch.bounds] = self._recreate(self._records(batch), batch.bounds)
            again = read_batch(
                self._context.session, self._context.uid, batch.bounds, batch.attempt, self._context.renders
            )
            return again is not None and self.deliver(again)
        if verdict is Verdict.DELETED and not self._is_of_rollouts(batch):
            raise Halt("deleted", answer.reason, scope="session")
        is_astray = verdict is Verdict.MISSING and self._recreated.get(batch.bounds, True)
        if verdict in (Verdict.RETRY, Verdict.OVERLAP) or is_astray:
            return self._strike(batch, answer)
        return self._refused(batch, answer, parked=False)

    def _apart_from(self, batch: Batch, answer: Answer) -> list[Bounds] | None:
        """What of a batch the server does not have; None where it names nothing of it: the same would go out again, and again."""
        parts = without(batch.bounds, self._records(batch), answer.have)
        is_all = [part[-2:] for part in parts] == [batch.bounds[-2:]]
        return None if is_all else parts

    def _count_omitted(self, batch: Batch, answer: Reply) -> None:
        """Numbers that this server does not take, or has dropped, are no loss of its records, and yet told of."""
        render = self._context.renders.get(batch.bounds.lane)
        if isinstance(render, wire.PointsRender):
            body = answer.body if isinstance(answer, Answer) else None
            omitted = int((body or {}).get("dropped") or 0)
            if render.omits:
                omitted += sum(render.omitted(record.data) for record in self._records(batch))
            if omitted:
                self._context.count("omitted", omitted)

    def _records(self, batch: Batch) -> list[Record]:
        return read_records(self._context.session, self._context.uid, batch.bounds)

    def _is_of_rollouts(self, batch: Batch) -> bool:
        """What is missing or deleted there is one of a run's rollouts, not the session."""
        return batch.bounds.lane == SPANS and self._context.kind == "run"

    def _strike(self, batch: Batch, answer: Answer) -> bool:
        """No answer, a 5xx, or a 404 where the server, asked, has what it is for, as from something in between: another time, or, when it
        is this batch only, down to the record that it cannot take."""
        checkpoint = self._context.checkpoint
        if answer.status is None and not self._is_known():  # Halt where nothing at all gets through
            raise Halt("forgotten", answer.reason, scope="session")
        self._context.troubles.append(answer.reason)
        if answer.verdict is not Verdict.MISSING:  # else it was asked, and answered
            self._failed_in_a_row += 1
        most = _MOST_PARTS if self._bisecting else _MOST_BATCHES
        if self._failed_in_a_row >= most and not self._succeeded:
            raise Halt("unavailable", answer.reason, scope="destination", retry_after=self._context.floor())
        if batch.bounds in checkpoint.state.in_flight:
            checkpoint.note({"op": "strike", "bounds": list(batch.bounds)})
        if checkpoint.state.in_flight.get(batch.bounds, 0) < STRIKES or not (self._succeeded or self._is_known()):
            return False
        return self._refused(batch, answer, parked=True)

    def _refused(self, batch: Batch, answer: Answer, *, parked: bool) -> bool:
        if batch.count == 1:
            return self._bury(batch, answer.status, answer.reason, parked=parked)
        before, self._bisecting = self._bisecting, True
        try:
            return self._redeliver(batch, list(halves(batch.bounds, self._records(batch))))
        finally:
            self._bisecting = before

    def _redeliver(self, batch: Batch, parts: list[Bounds]) -> bool:
        """Send parts of a batch, each with a key of its own, journalled before; what is not in any of them is settled."""
        context = self._context
        strikes = context.checkpoint.state.in_flight.get(batch.bounds, 0)
        for part in parts:
            context.checkpoint.note({"op": "batch", "bounds": list(part), "strikes": strikes})
        self._note_settled(batch.bounds, _complement(self._records(batch), parts))
        context.checkpoint.note({"op": "cut", "bounds": list(batch.bounds)})
        context.checkpoint.commit()
        complete = True
        for part in parts:
            smaller = read_batch(context.session, context.uid, part, batch.attempt, context.renders)
            if smaller is not None and self.deliver(smaller):
                self._note_settled(part, [[part.first, part.last]])
            else:
                complete = False
        return complete

    def _note_settled(self, bounds: Bounds, ranges: list[list[int]]) -> None:
        if ranges:
            entry = {"op": "settle", "epoch": bounds.epoch, "lane": bounds.lane, "ranges": ranges}
            self._context.checkpoint.note(entry)

    def _bury(self, batch: Batch, status: int | None, reason: str, *, parked: bool) -> bool:
        bounds = batch.bounds
        for record in self._records(batch):
            is_new = self._context.bury(bounds.epoch, bounds.n, record, bounds.lane, status, reason, parked)
            if is_new and reason.startswith(UNSUPPORTED):
                self._context.count("unsupported")
        return True


def _is_early(reply: Reply) -> bool:
    return isinstance(reply, Answer) and reply.status == 425


def _is_accepted(reply: Reply) -> bool:
    return isinstance(reply, Answer) and reply.verdict is Verdict.ACCEPTED


def _complement(records: list[Record], parts: list[Bounds]) -> list[list[int]]:
    return [
        [record.seq, record.seq]
        for record in records
        if not any(part.first <= record.seq <= part.last for part in parts)
    ]
