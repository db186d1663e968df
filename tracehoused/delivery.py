"""One batch to the server, and what its answer means for the records in it: settled, cut again, in the dead letters, or left for later.

A 5xx is the batch's own fault only where the server takes other requests: by then it has failed ``STRIKES`` times, and something else
succeeded in this pass or the session's upsert does so now.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Callable

from tracehouse.exceptions import SpoolError
from tracehouse.spool import layout
from tracehoused import wire
from tracehoused.batch import MEDIA, METRICS, SPANS, Batch, Bounds, Record, Render, batch_key, halves, without
from tracehoused.capabilities import Capabilities
from tracehoused.checkpoint import Checkpoint
from tracehoused.client import Client
from tracehoused.deadletter import DeadLetter, DeadLetters
from tracehoused.exceptions import BodyError
from tracehoused.reader import open_checked
from tracehoused.request import FileBody, Request
from tracehoused.retry import Answer, Verdict
from tracehoused.rounds import read_batch, read_records

__all__ = ["Context", "Delivery", "Halt"]

STRIKES = 5
# failures in a row, with no success, that are the server's and not a record's: of batches, and of the parts of one that is bisected
_MOST_BATCHES = 3
_MOST_PARTS = 16
_UNSUPPORTED = "unsupported"
_WAIT = 0.5
_MOST_WAITS = 20


class Halt(Exception):
    """Sending stops here: for the whole destination, or for this session.

    ``kind``: "unavailable" (try again after ``retry_after``), "paused" (someone must do something), "deleted" (on the server),
    "forgotten" (by the server), "lease" (another agent has it).
    """

    def __init__(self, kind: str, reason: str, *, scope: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.scope = scope
        self.retry_after = retry_after


@dataclass
class Context:
    """What all requests of one session at one destination share. ``still_ours`` is asked right before each of them."""

    session: str
    kind: str
    uid: str
    destination: str
    client: Client
    capabilities: Capabilities
    checkpoint: Checkpoint
    dead: DeadLetters
    renders: dict[str, Render]
    still_ours: Callable[[], bool]
    now: Callable[[], str]
    sleep: Callable[[float], None]
    sent: Callable[[int, int], None] = lambda records, size: None
    answered: Callable[[str], None] = lambda verdict: None
    stopping: Callable[[], bool] = lambda: False
    troubles: list[str] = field(default_factory=list)

    @property
    def generation(self) -> int:
        return self.checkpoint.state.generation

    def ask(self, request: Request) -> Answer:
        """Send, waiting while the same request is being handled there; Halt for every answer that is about more than its content."""
        answer = self._ask_once(request)
        for _ in range(_MOST_WAITS):
            if answer.verdict is not Verdict.IN_FLIGHT:
                break
            self.sleep(max(answer.retry_after or 0.0, _WAIT))
            answer = self._ask_once(request)
        self._halt_on(answer)
        return answer

    def _ask_once(self, request: Request) -> Answer:
        if not self.still_ours():
            raise Halt("lease", "another agent has taken over this session", scope="session")
        if self.stopping():
            raise Halt("stopping", "the agent was stopped; the rest follows when it runs again", scope="session")
        answer = self.client.send(request)
        self.answered(answer.verdict.name.lower())
        return answer

    def _halt_on(self, answer: Answer) -> None:
        verdict, reason = answer.verdict, answer.reason
        if (verdict is Verdict.RETRY and answer.status is None) or answer.status == 429:
            raise Halt("unavailable", reason, scope="destination", retry_after=answer.retry_after)
        if verdict is Verdict.IN_FLIGHT:
            raise Halt("unavailable", reason, scope="session", retry_after=answer.retry_after)
        if verdict in (Verdict.UNAUTHORIZED, Verdict.MISCONFIGURED):
            raise Halt("paused", reason, scope="destination")
        if verdict in (Verdict.FORBIDDEN, Verdict.KEY_REUSED):
            raise Halt("paused", reason, scope="session")

    def bury(
        self, epoch: str, n: int, record: Record, lane: str, status: int | None, reason: str, parked: bool
    ) -> bool:
        """Into the dead letters, durably; False when it lay there already."""
        kind = record.type.decode()
        letter = DeadLetter(
            epoch, n, record.start, record.end, record.seq, kind, lane, status, reason, self.now(), parked
        )
        is_new = self.dead.add(letter)
        if is_new:
            self.count("dead")
        return is_new

    def count(self, name: str) -> None:
        self.checkpoint.fact(name, int(self.checkpoint.state.facts.get(name) or 0) + 1)


class Delivery:
    """Sends batches of one session. ``is_known()``: ask the server whether it still has the session; Halt when it cannot be asked."""

    def __init__(self, context: Context, server_id: str | None, is_known: Callable[[], bool]) -> None:
        self._context = context
        self._server_id = server_id
        self._is_known = is_known
        self._failed_in_a_row = 0
        self._bisecting = False
        self._succeeded = False

    def deliver(self, batch: Batch) -> bool:
        """True when all of the batch's records are settled, one way or the other."""
        bounds = batch.bounds
        if bounds.lane == METRICS and batch.units == 0:
            return True  # nothing that the server could hold
        media = None
        if bounds.lane == MEDIA:
            found = self._media(batch)
            if found is None or isinstance(found, str):
                return found is not None and self._bury(batch, None, found, parked=True)
            media = found
        answer = self._ask(batch, media)
        return answer is not None and self._settle(batch, answer)

    def _ask(self, batch: Batch, media: FileBody | None) -> Answer | None:
        context = self._context
        key = batch_key(context.uid, context.generation, context.destination, batch.bounds)
        request = wire.batch_request(batch, self._server_id, uid=context.uid, key=key, media=media)
        try:
            return context.ask(request)
        except BodyError as error:
            context.troubles.append(str(error))
            return None

    def _settle(self, batch: Batch, answer: Answer) -> bool:
        verdict = answer.verdict
        if verdict is Verdict.ACCEPTED:
            self._failed_in_a_row = 0
            self._succeeded = True
            self._context.sent(batch.count, batch.size)
            return True
        if verdict is Verdict.OVERLAP:
            return self._redeliver(batch, without(batch.bounds, self._records(batch), answer.have))
        if verdict is Verdict.MISSING and not self._is_known():
            raise Halt("forgotten", answer.reason, scope="session")
        if verdict is Verdict.DELETED and not self._is_of_rollouts(batch):
            raise Halt("deleted", answer.reason, scope="session")
        if verdict is Verdict.RETRY:
            return self._strike(batch, answer)
        return self._refused(batch, answer, parked=False)

    def _records(self, batch: Batch) -> list[Record]:
        return read_records(self._context.session, self._context.uid, batch.bounds)

    def _is_of_rollouts(self, batch: Batch) -> bool:
        """What is missing or deleted there is one of a run's rollouts, not the session."""
        return batch.bounds.lane == SPANS and self._context.kind == "run"

    def _strike(self, batch: Batch, answer: Answer) -> bool:
        """A 5xx: another time, or, when it is this batch only, down to the record that it cannot take."""
        checkpoint = self._context.checkpoint
        self._failed_in_a_row += 1
        self._context.troubles.append(answer.reason)
        most = _MOST_PARTS if self._bisecting else _MOST_BATCHES
        if self._failed_in_a_row >= most and not self._succeeded:
            raise Halt("unavailable", answer.reason, scope="destination", retry_after=answer.retry_after)
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
            if is_new and reason.startswith(_UNSUPPORTED):
                self._context.count("unsupported")
        return True

    def _media(self, batch: Batch) -> FileBody | str | None:
        """The file of a media record; a reason when it can never be sent as it is; None to leave it for later."""
        fields = json.loads(batch.parts[0])
        name, size = fields.get("file"), fields.get("size")
        if not isinstance(name, str) or not layout.is_media_name(name) or not isinstance(size, int):
            return f"the record names no media file: {name!r}"
        context = self._context
        types = context.capabilities.media_types
        if fields.get("media_type") not in types:
            if not context.capabilities.known:
                context.troubles.append("the destination does not tell which media it takes")
                return None
            return f"{_UNSUPPORTED}: this destination takes {', '.join(types)}, not {fields.get('media_type')}"
        path = os.path.join(context.session, layout.MEDIA, name)
        return _checked_media(path, size, name.partition(".")[0])


def _checked_media(path: str, size: int, sha256: str) -> FileBody | str:
    from hashlib import sha256 as digest

    try:
        fd = open_checked(path)
    except FileNotFoundError:
        return "media file missing: it was not copied along, or was lost with the power"
    except SpoolError as error:
        return f"media file unusable: {error}"
    found = digest()
    try:
        if os.fstat(fd).st_size != size:
            return f"media file damaged: {os.fstat(fd).st_size} bytes, its record says {size}"
        at = 0
        while block := os.pread(fd, 1024 * 1024, at):
            found.update(block)
            at += len(block)
    finally:
        os.close(fd)
    if found.hexdigest() != sha256:
        return "media file damaged: its content does not match its name"
    return FileBody(path, size, opener=lambda: open_checked(path))


def _complement(records: list[Record], parts: list[Bounds]) -> list[list[int]]:
    return [
        [record.seq, record.seq]
        for record in records
        if not any(part.first <= record.seq <= part.last for part in parts)
    ]
