"""How a session's writers ended, as their records and their locks tell, and the closing patch that says so to the server."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any, Callable

from tracehoused.http.retry import Verdict
from tracehoused.upload import wire
from tracehoused.upload.batch import Record
from tracehoused.upload.closing import End, final
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.facts import is_count
from tracehoused.upload.reader import Epoch
from tracehoused.upload.rounds import Round
from tracehoused.upload.state import ENDS

__all__ = ["Endings", "end_of", "heard", "word_due"]

RUNNING = "running"

# what tells a record's time, the later of two first
_TIMES = ("end_at", "ended_at", "wall_time", "start_at", "started_at", "at")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[0-9.]{0,10}Z")


class Endings:
    """``liveness(epoch)``: True its writer lives, False it is proven dead, None nobody can say."""

    def __init__(self, context: Context, kind: str, liveness: Callable[[Epoch], bool | None]) -> None:
        self._context = context
        self._kind = kind
        self._liveness = liveness

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

    def tell(self, epochs: list[Epoch], dead: set[str], complete: bool) -> tuple[bool, bool]:
        """Send the status that the writers' ends amount to, last of all and once; ``running`` again when a writer came back.

        Returns whether all writers have ended, and whether what was to be sent is.
        """
        known = self._known()
        ends = [end_of(epoch, known.get(epoch.id, {}), epoch.id in dead) for epoch in epochs]
        over = all(one.over for one in ends)
        due = word_due(ends, self._kind, self._context.checkpoint.state.facts)
        told = True
        if due == RUNNING:
            told = self._send({"status": RUNNING}, RUNNING)
        elif isinstance(due, End) and complete:
            told = self._close(due)
        still_due = word_due(ends, self._kind, self._context.checkpoint.state.facts) is not None
        self._context.checkpoint.fact("untold", still_due)
        return over, told

    def _close(self, end: End) -> bool:
        mark = [end.status, end.at]
        if self._kind == "run":
            return self._send({"status": end.status, "ended_at": end.at or self._context.now()}, mark)
        error = end.error or "the process ended without finishing the trace"
        return self._send({"outcome": "bad", "metadata": {"error": error}}, mark)

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

    def _send(self, fields: dict[str, Any], mark: Any) -> bool:
        context = self._context
        # a run may end and come back any number of times: the same word later is another request
        said = int(context.checkpoint.state.facts.get("said") or 0)
        digest = sha256(wire.dumps([fields, mark])).hexdigest()[:16]
        key = f"{context.uid}-{context.generation}-close-{said}-{digest}"
        server_id = str(context.checkpoint.state.facts["server_id"])
        answer = context.ask(wire.patch_request(self._kind, server_id, fields, key))
        if answer.verdict is Verdict.ACCEPTED:
            context.checkpoint.fact("status_sent", mark)
            context.checkpoint.fact("said", said + 1)
        elif answer.verdict in (Verdict.MISSING, Verdict.DELETED):
            kind = "forgotten" if answer.verdict is Verdict.MISSING else "deleted"
            raise Halt(kind, answer.reason, scope="session")
        else:
            context.troubles.append(f"its status could not be told: {answer.reason}")
        return answer.verdict is Verdict.ACCEPTED


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
    """A writer's end from what is known of it."""
    attempt, claim, _ = epoch.order
    return End(
        epoch.id,
        attempt,
        claim,
        known.get("status"),
        explicit=bool(known.get("explicit")),
        done=bool(known.get("done")),
        dead=dead,
        at=str(known.get("at") or known.get("last_at") or ""),
        error=str(known.get("error") or ""),
    )
