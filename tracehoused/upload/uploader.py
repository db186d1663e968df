"""Drains one session to one destination. Only ``Uploader.drain_once`` knows the order:

the session's creation, then round by round: rollouts' creation, batches of spans, metrics, media, artifacts, then patches; and when all is
settled and no writer lives, the closing patch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tracehouse.exceptions import SpoolError
from tracehouse.spool.manifest import Manifest
from tracehoused.upload import rollouts
from tracehoused.upload.batch import CLOSING, LOCAL, Batch, Bounds, Limits, Record
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.creating import Creating
from tracehoused.upload.creation import Creation, is_there
from tracehoused.upload.damage import count_damage
from tracehoused.upload.deadletter import DeadLetter
from tracehoused.upload.delivery import Delivery
from tracehoused.upload.endings import Endings
from tracehoused.upload.facts import Damage
from tracehoused.upload.gaps import note_missing
from tracehoused.upload.patching import Patching
from tracehoused.upload.reader import Epoch, measure, writers
from tracehoused.upload.rounds import Reading, Round, read_batch
from tracehoused.upload.state import ENDS, cursor_list
from tracehoused.upload.together import SLOW_NEXT

__all__ = ["Outcome", "Uploader"]

# of a live session's rollouts that may still be patched, between passes
_KEPT_IDS = 256


@dataclass(frozen=True)
class Outcome:
    """What a pass left: ``complete`` when all there was is settled; ``stopped`` when this session needs no further try; ``awaits`` when
    nothing is left but media of a session that lives, whose files may come."""

    complete: bool
    trouble: str = ""
    stopped: bool = False
    retry_after: float | None = None
    scope: str = "session"
    awaits: bool = False


class Uploader:
    """One session and one destination. ``liveness(epoch)``: True a writer lives, False it is proven dead, None unknown."""

    def __init__(self, context: Context, manifest: Manifest, limits: Limits, liveness: Any, pool: ThreadPoolExecutor):
        self._context = context
        self._checkpoint = context.checkpoint
        self._manifest = manifest
        self._limits = limits
        self._pool = pool
        self._creation = Creation(context, manifest)
        self._endings = Endings(context, manifest.kind, liveness, self._creation.is_known)
        self._rollouts = rollouts.Ids(context)
        self._started_again = False
        self._more_left = False  # than media whose files may come
        self._ahead: set[Bounds] = set()  # journalled already, of the round that comes next
        self._unread: SpoolError | OSError | None = None  # why some segment is not read
        self._patching = Patching(context, manifest, self._rollouts, self._creation.is_known, pool)
        self._creating = Creating(context, manifest, self._creation, self._rollouts, self._patching, pool)
        self.live = False  # some writer is not known to have ended
        self.lost = False  # another agent has taken over

    def drain_once(self) -> Outcome:
        """Everything that is in the session now. Network trouble and refusals are in the outcome; OSError is the caller's. Where the
        session was deleted there, the server is asked whether that was undone."""
        stopped = self._checkpoint.state.facts.get("stopped")
        if stopped and not self._is_restored():
            return Outcome(False, str(stopped), stopped=True)
        try:
            outcome = self._drain()
        except Halt as halt:
            outcome = self._halted(halt)
        except BaseException:
            self._checkpoint.commit()
            raise
        self._rollouts.forget(but=_KEPT_IDS)
        self._checkpoint.fact("trouble", outcome.trouble)
        self._checkpoint.commit(leased=not self.lost)
        return outcome

    def _is_restored(self) -> bool:
        server_id = self._checkpoint.state.facts.get("server_id")
        try:
            restored = server_id is not None and is_there(self._context, self._manifest.kind, str(server_id))
        except Halt:
            return False
        if restored:
            self._checkpoint.fact("stopped", None)
        return restored

    def _halted(self, halt: Halt) -> Outcome:
        if halt.kind == "deleted":
            self._checkpoint.fact(
                "stopped", f"deleted at the destination: {halt.reason}; bring it back there, or `tracehouse rm` it"
            )
            return Outcome(False, halt.reason, stopped=True)
        if halt.kind == "forgotten":
            return self._start_again(halt)
        self.lost = halt.kind == "lease"
        retry_after = self._context.floor(halt.retry_after) if halt.scope == "session" else halt.retry_after
        return Outcome(False, halt.reason, retry_after=retry_after, scope=halt.scope)

    def _start_again(self, halt: Halt) -> Outcome:
        """The server forgot: create it there once more, and send again what is still here."""
        if self._started_again:
            return Outcome(False, f"the server forgot this session again: {halt.reason}")
        self._started_again = True
        self._note_forgotten()
        self._checkpoint.fact("generation", self._context.generation + 1)
        for name in ("server_id", "status_sent", ENDS, "outcome_sent", "damage", "omitted", "refused"):
            self._checkpoint.fact(name, None)
        self._checkpoint.reset()
        self._rollouts.forget()
        self._creation.confirmed = False
        try:
            return self._drain()
        except Halt as again:
            return self._halted(again)

    def _note_forgotten(self) -> None:
        """What was deleted here after its acknowledgement cannot be sent again: that is told from now on. A receipt does not tell: the
        deletion that it was written for may have been undone."""
        state = self._checkpoint.state
        here = {epoch.id for epoch in writers(self._context.session)}
        records = sum(len(ranges) for epoch, ranges in state.done.items() if epoch not in here)
        if records:
            known = dict(state.facts.get("forgotten") or {})
            self._checkpoint.fact("forgotten", {**known, str(self._context.generation): records})

    def _drop_overtaken(self) -> None:
        """No letters stay of what is to be sent again, after the server forgot or a kill: it is refused again, or taken. Those of settled
        records do, which nothing else tells of."""
        letters = self._context.dead.all()
        kept = list(filter(self._is_last_of, letters))
        if len(kept) < len(letters):
            self._context.dead.keep_only(kept)

    def _is_last_of(self, letter: DeadLetter) -> bool:
        """Nothing more is sent of what this letter is about."""
        state = self._checkpoint.state
        if letter.lane == CLOSING:
            return state.facts.get("status_sent") is not None
        return state.is_settled(letter.epoch, letter.lane, letter.seq)

    def _drain(self) -> Outcome:
        self._more_left, self._unread = False, None
        self._drop_overtaken()
        epochs = writers(self._context.session)
        dead = self._endings.dead(epochs)
        ended = dead | self._endings.done(epochs)
        measure(self._context.session, epochs)
        self._delivery = self._delivery_to(self._creation.server_id() if epochs else "", ended)
        complete = self._finish_in_flight(epochs)
        for epoch in epochs:
            complete = self._drain_epoch(epoch, epoch.id in ended) and complete
        if self._unread is not None:
            raise self._unread
        if complete:
            note_missing(self._context, epochs)
        if epochs:
            over, told = self._endings.tell(epochs, dead, complete)
            self.live = not over
            complete = complete and told
            self._more_left = self._more_left or not told
        trouble = self._context.troubles[-1] if self._context.troubles else ""
        self._context.troubles.clear()
        awaits = self.live and not complete and not self._more_left
        return Outcome(complete, trouble, retry_after=None if complete else self._context.floor(), awaits=awaits)

    def _delivery_to(self, server_id: str, ended: set[str]) -> Delivery:
        def recreate(spans: list[Record], bounds: Bounds) -> bool:
            return self._rollouts.recreate(spans, server_id, (bounds.epoch, bounds.n))

        return Delivery(self._context, server_id, self._creation.is_known, recreate, ended.__contains__)

    def _finish_in_flight(self, epochs: list[Epoch]) -> bool:
        """What was journalled and perhaps sent when an agent last stopped: the same bytes, with the same keys."""
        attempts = {epoch.id: epoch.attempt for epoch in epochs}
        order = {epoch.id: at for at, epoch in enumerate(epochs)}
        context = self._context
        settled: list[Bounds] = []
        complete = True
        try:
            for bounds in sorted(self._checkpoint.state.in_flight, key=lambda b: (order.get(b.epoch, 0), b.first)):
                batch = None
                if not self._checkpoint.state.is_partly_settled(bounds):
                    attempt = attempts.get(bounds.epoch, 1)
                    try:
                        batch = read_batch(context.session, context.uid, bounds, attempt, context.renders)
                    except (SpoolError, OSError) as error:
                        self._pass_over(error)
                        continue
                if batch is None:
                    # not as it was: what is here of it is planned anew, and the server tells what it has
                    self._checkpoint.note({"op": "cut", "bounds": list(bounds)})
                elif self._delivery.deliver(batch):
                    settled.append(bounds)
                else:
                    complete = False
                    self._more_left = self._more_left or bounds not in self._delivery.awaited
        finally:
            self._settle_bounds(settled)
        return complete

    def _drain_epoch(self, epoch: Epoch, ended: bool) -> bool:
        context = self._context
        reading = Reading(
            context.session,
            context.uid,
            epoch,
            self._checkpoint.state,
            self._limits,
            context.renders,
            ended=ended,
            counted=Damage.of(self._checkpoint.state.facts, epoch.id).ends,
        )
        complete = True
        while (found := reading.next()) is not None:
            complete = self._run(found, reading, contiguous=complete) and complete
        if reading.trouble is not None:
            self._pass_over(reading.trouble)
        return complete

    def _pass_over(self, unread: SpoolError | OSError) -> None:
        """What cannot be read is told when all else is done that does not have to come after it."""
        self._unread = self._unread or unread
        self._delivery.hold_spans()
        self._patching.hold_all()

    def _run(self, found: Round, reading: Reading, *, contiguous: bool) -> bool:
        """One round. With all before it settled, all of it is settled as one range and the cursors move on."""
        epoch = found.epoch.id
        self._endings.note(found)  # before any of it is settled: a pass that breaks off hears none of that again
        created = self._creating.apply(found, self._delivery.hold_spans)
        ready = self._journal(found)

        def prepare_next() -> Iterator[object]:
            yield from reading.ahead()
            coming = reading.peek()
            yield SLOW_NEXT
            # spans whose traces are yet to be made may not be what is sent first the next time
            self._ahead = set() if coming is None or coming.creates else {b.bounds for b in self._journal(coming)}

        delivered: list[Bounds] = []
        try:
            self._delivery.deliver_all(ready, self._pool, delivered, prepare_next())
            if found.patches:
                self._checkpoint.commit()  # what is created is not created again once it is patched, whoever is killed
            patched = self._patching.apply(found)
        except BaseException:
            # what was acknowledged before the trouble must not go out again
            self._settle_bounds(delivered)
            raise
        unresolved = {bounds for bounds in self._others_in_flight(found.batches) if bounds.epoch == epoch}
        unresolved |= {batch.bounds for batch in found.batches}.difference(delivered)
        all_else = created and patched and not found.held and not found.foreign
        complete = all_else and not unresolved
        self._more_left = self._more_left or not all_else or not unresolved <= self._delivery.awaited
        count_damage(self._checkpoint, found)
        if complete and contiguous:
            ranges, cursors = found.seen.to_list(), cursor_list(found.ends)
            self._checkpoint.note({"op": "done", "epoch": epoch, "ranges": ranges, "cursors": cursors})
        else:
            self._settle_bounds(delivered)
            self._settle(epoch, LOCAL, [[record.seq, record.seq] for record in found.locals])
        return complete

    def _others_in_flight(self, batches: list[Batch]) -> list[Any]:
        ours = {batch.bounds for batch in batches} | self._ahead
        return [bounds for bounds in self._checkpoint.state.in_flight if bounds not in ours]

    def _journal(self, found: Round) -> list[Batch]:
        """Make the bounds of a round's batches durable, unless they are; returns those that may be sent now."""
        # what is journalled is sent first the next time: no spans whose traces are not there
        ready = [batch for batch in found.batches if not self._delivery.waits(batch.bounds)]
        new = [batch for batch in ready if batch.bounds not in self._checkpoint.state.in_flight]
        for batch in new:
            self._checkpoint.note({"op": "batch", "bounds": list(batch.bounds)})
        if new:
            self._checkpoint.commit()
        return ready

    def _settle_bounds(self, settled: list[Bounds]) -> None:
        lanes: dict[tuple[str, str], list[list[int]]] = {}
        for bounds in settled:
            lanes.setdefault((bounds.epoch, bounds.lane), []).append([bounds.first, bounds.last])
        for (epoch, lane), ranges in lanes.items():
            self._settle(epoch, lane, ranges)

    def _settle(self, epoch: str, lane: str, ranges: list[list[int]]) -> None:
        if ranges:
            self._checkpoint.note({"op": "settle", "epoch": epoch, "lane": lane, "ranges": ranges})


def destination_dir(session: str, destination: str) -> str:
    """Where the agent keeps what it knows of a session at a destination."""
    return os.path.join(session, "upload", destination)
