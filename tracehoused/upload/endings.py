"""How a session's writers ended, as their records and their locks tell, and the closing patch that says so to the server."""

from __future__ import annotations

import json
import os
import re
from hashlib import sha256
from typing import Any, Callable

from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehoused.http.retry import Verdict
from tracehoused.upload import presence, wire
from tracehoused.upload.batch import CLOSING, Record
from tracehoused.upload.closing import RUNNING, End, final
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.facts import is_count
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Epoch, Scan, scan
from tracehoused.upload.rounds import Round, is_object
from tracehoused.upload.state import ENDS

__all__ = ["Endings", "end_of", "heard", "word_due"]

# what tells a record's time, the later of two first
_TIMES = ("end_at", "ended_at", "wall_time", "start_at", "started_at", "at")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[0-9.]{0,10}Z")


class Endings:
    """``liveness(epoch)``: True its writer lives, False it is proven dead, None nobody can say. ``is_known()``: ask the server whether it
    still has the session; Halt when it cannot be asked."""

    def __init__(
        self, context: Context, kind: str, liveness: Callable[[Epoch], bool | None], is_known: Callable[[], bool]
    ) -> None:
        self._context = context
        self._kind = kind
        self._liveness = liveness
        self._is_known = is_known

    def dead(self, epochs: list[Epoch]) -> set[str]:
        """Writers that died without a word. To be asked before the segments are measured."""
        return {epoch.id for epoch in epochs if not self._is_done(epoch) and self._liveness(epoch) is False}

    def done(self, epochs: list[Epoch]) -> set[str]:
        """Writers that said their last word, and whose process is not known to live on."""
        return {epoch.id for epoch in epochs if self._is_done(epoch) and not self._liveness(epoch)}

    def _is_done(self, epoch: Epoch) -> bool:
        return bool(self._known().get(epoch.id, {}).get("done"))

    def note(self, found: Round) -> None:
        """What a round tells of its writer: its last record's time, how it ended, what it dropped."""
        if found.last is not None:
            at = _time_of(found.last)
            if at:
                self._note_end(found.epoch, {"last_at": at})
        told = [*found.locals, *(r for r in found.patches if r.type == b"run_patch")]
        told += [record for record in found.creates if record.type.decode() == self._kind]
        for record in sorted(told, key=lambda record: record.seq):
            if record.type == b"dropped":
                self._note_dropped(found.epoch, record)
            elif record.type != b"segment" and record.seq > self._known().get(found.epoch.id, {}).get("seq", 0):
                self._note_end(found.epoch, heard(self._known().get(found.epoch.id, {}), record))

    def _note_end(self, epoch: Epoch, news: dict[str, Any]) -> None:
        ends = self._known()
        attempt, claim, _ = epoch.order
        ends[epoch.id] = {**ends.get(epoch.id, {}), "attempt": attempt, "claim": claim, **news}
        self._context.checkpoint.fact(ENDS, ends)

    def _join(self, epochs: list[Epoch], dead: set[str]) -> None:
        """A later attempt begins where no writer is known to live. One that does, for all that, is of that attempt too: it keeps the
        session open, and its word counts."""
        last = max((epoch.attempt for epoch in epochs), default=0)
        heard = presence.heard_of(self._context.session)
        for epoch in epochs:
            is_known = self._known().get(epoch.id, {}).get("joined", epoch.attempt) >= last
            if not is_known and epoch.id not in dead and not self._is_done(epoch) and heard(epoch):
                self._note_end(epoch, {"joined": last})

    def tell(self, epochs: list[Epoch], dead: set[str], complete: bool) -> tuple[bool, bool]:
        """Send the status that the writers' ends amount to, last of all and once; ``running`` again when a writer came back.

        Returns whether all writers have ended, and whether what was to be sent is.
        """
        self._join(epochs, dead)
        known = self._known()
        ends = [end_of(epoch, known.get(epoch.id, {}), epoch.id in dead) for epoch in epochs]
        over = all(one.over for one in ends)
        due = word_due(ends, self._kind, self._context.checkpoint.state.facts)
        told = True
        if due == RUNNING:
            told = self._send({"status": RUNNING}, RUNNING, epochs[-1].id)
        elif isinstance(due, End) and complete:
            told = self._close(due)
        still_due = word_due(ends, self._kind, self._context.checkpoint.state.facts) is not None
        self._context.checkpoint.fact("untold", still_due)
        return over, told

    def _close(self, end: End) -> bool:
        mark = [end.status, end.at]
        if self._kind == "run":
            return self._send({"status": end.status, "ended_at": end.at or self._context.now()}, mark, end.epoch)
        error = end.error or "the process ended without finishing the trace"
        return self._send({"outcome": "bad", "metadata": {"error": error}}, mark, end.epoch)

    def _known(self) -> dict[str, dict[str, Any]]:
        return dict(self._context.checkpoint.state.facts.get(ENDS) or {})

    def _note_dropped(self, epoch: Epoch, record: Record) -> None:
        fields = json.loads(record.data)
        checkpoint = self._context.checkpoint
        dropped = dict(checkpoint.state.facts.get("dropped") or {})
        records, reasons = fields.get("records"), fields.get("reasons")
        # one at least, however little its record makes sense
        loss = [records if is_count(records) else 1, reasons if isinstance(reasons, dict) else {}]
        dropped[f"{epoch.id}-{record.seq}"] = loss
        checkpoint.fact("dropped", dropped)

    def _send(self, fields: dict[str, Any], mark: Any, epoch: str) -> bool:
        """Whether it is told, or, refused, lies in the dead letters: with the record of that writer that it comes from."""
        context = self._context
        # a run may end and come back any number of times: the same word later is another request
        said = int(context.checkpoint.state.facts.get("said") or 0)
        digest = sha256(wire.dumps([fields, mark])).hexdigest()[:16]
        key = f"{context.uid}-{context.generation}-close-{said}-{digest}"
        server_id = str(context.checkpoint.state.facts["server_id"])
        answer = context.ask(wire.patch_request(self._kind, server_id, fields, key))
        is_refused = answer.verdict is Verdict.REFUSED or answer.status == 501
        record = self._last_word(epoch) if is_refused else None
        if record is not None:
            context.checkpoint.fact("refused", {"mark": mark, "fields": fields})
            context.bury(epoch, record[0], record[1], CLOSING, answer.status, answer.reason, False)
        if answer.verdict is Verdict.ACCEPTED or record is not None:
            context.checkpoint.fact("status_sent", mark)
            context.checkpoint.fact("said", said + 1)
            return True
        if answer.verdict is Verdict.DELETED:
            raise Halt("deleted", answer.reason, scope="session")
        if answer.verdict is Verdict.MISSING and not self._is_known():
            raise Halt("forgotten", answer.reason, scope="session")
        context.troubles.append(f"its status could not be told: {answer.reason}")
        return False

    def _last_word(self, epoch: str) -> tuple[int, Record] | None:
        """The record that tells how a writer ended, or else its last one, and the segment's number."""
        own = [(segment.n, name) for segment, name in _segments(self._context.session) if segment.epoch == epoch]
        last: tuple[int, tuple[int, Record]] | None = None
        for n, name in sorted(own):
            fd = open_checked(os.path.join(self._context.session, name))
            try:
                seed = framing.checksum_seed(self._context.uid, epoch)
                for record in scan(fd, seed, 0, os.fstat(fd).st_size, Scan(0)):
                    weight = _weight(record)
                    if last is None or weight >= last[0]:
                        last = weight, (n, record)
            finally:
                os.close(fd)
        return last[1] if last else None


def word_due(ends: list[End], kind: str, facts: dict[str, Any]) -> End | str | None:
    """What is still to be told of a session: its end, or RUNNING where it came to life again; None when nothing is."""
    sent = facts.get("status_sent")
    last = max((one.attempt for one in ends), default=0)
    if not all(one.over for one in ends if one.attempt == last):
        return RUNNING if kind == "run" and sent not in (None, RUNNING) else None
    end = final(ends)
    if end is None or sent == [end.status, end.at]:
        return None
    return end if kind == "run" or (end.status == "crashed" and not facts.get("outcome_sent")) else None


def _segments(session: str) -> list[tuple[layout.SegmentName, str]]:
    return [(found, name) for name in os.listdir(session) if (found := layout.parse_segment_name(name)) is not None]


def _weight(record: Record) -> int:
    """How much of a last word a record is: the job's explicit one is the most."""
    if record.type == b"run_patch" and b'"status"' in record.data and is_object(record.data):
        return 2
    return int(record.type in (b"exit", b"close"))


def _time_of(record: Record) -> str:
    """When a record was written, as it says; "" where it does not."""
    try:
        fields = json.loads(record.data)
    except (ValueError, RecursionError):
        return ""
    told = [fields.get(name) for name in _TIMES] if isinstance(fields, dict) else []
    return next((at for at in told if isinstance(at, str) and _TIME.fullmatch(at)), "")


def heard(known: dict[str, Any], record: Record) -> dict[str, Any]:
    """What one record adds to what is known of how its writer ended: an exit, a close, a status, or that it goes on."""
    news: dict[str, Any] = {"seq": record.seq}
    fields = json.loads(record.data)
    at = str(fields.get("ended_at") or fields.get("at") or "")
    status = fields["status"] if isinstance(fields.get("status"), str) else ""
    if record.type in (b"run", b"trace"):
        if known.get("done"):  # taken up again by the process that had left it
            news.update(done=False, status=None, explicit=False, at="", error="")
    elif record.type == b"run_patch":
        if status:
            news.update(status=status, explicit=True, at=at)
    elif record.type in (b"exit", b"close"):
        news.update(done=True, at=known.get("at") or at)
        if status and not known.get("explicit"):
            news.update(status=status, error=str(fields.get("exception") or ""))
    return news


def end_of(epoch: Epoch, known: dict[str, Any], dead: bool) -> End:
    """A writer's end from what is known of it. One that is dead is of the attempt that it began: what came after it is not its to end."""
    attempt, claim, _ = epoch.order
    return End(
        epoch.id,
        attempt if dead else max(attempt, known.get("joined", 0)),
        claim,
        known.get("status"),
        explicit=bool(known.get("explicit")),
        done=bool(known.get("done")),
        dead=dead,
        at=str(known.get("at") or known.get("last_at") or ""),
        error=str(known.get("error") or ""),
    )
