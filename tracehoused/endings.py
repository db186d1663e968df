"""How a session's writers ended, as their records and their locks tell, and the closing patch that says so to the server."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any, Callable

from tracehoused import wire
from tracehoused.batch import Record
from tracehoused.closing import End, final
from tracehoused.delivery import Context, Halt
from tracehoused.reader import Epoch
from tracehoused.retry import Verdict
from tracehoused.rounds import Round

__all__ = ["Endings", "end_of"]

_TIME = re.compile(rb'"(?:wall_time|end_at|start_at|started_at|at)":"([^"\\]{10,40})"')


class Endings:
    """``liveness(epoch)``: True its writer lives, False it is proven dead, None nobody can say."""

    def __init__(self, context: Context, kind: str, liveness: Callable[[Epoch], bool | None]) -> None:
        self._context = context
        self._kind = kind
        self._liveness = liveness

    def dead(self, epochs: list[Epoch]) -> set[str]:
        """Writers that died without a word. To be asked before the segments are measured."""
        known = self._known()
        return {
            epoch.id for epoch in epochs if not known.get(epoch.id, {}).get("done") and self._liveness(epoch) is False
        }

    def note(self, found: Round) -> None:
        """What a round tells of its writer: its last record's time, its exit, what it dropped."""
        times = _TIME.findall(found.last)
        if times:
            self.note_end(found.epoch, last_at=times[-1].decode("ascii", "replace"))
        for record in found.locals:
            if record.type in (b"exit", b"close"):
                self._note_exit(found.epoch, record)
            elif record.type == b"dropped":
                self._note_dropped(found.epoch, record)

    def note_end(self, epoch: Epoch, **news: Any) -> None:
        ends = self._known()
        attempt, claim, _ = epoch.order
        ends[epoch.id] = {**ends.get(epoch.id, {}), "attempt": attempt, "claim": claim, **news}
        self._context.checkpoint.fact("ends", ends)

    def tell(self, epochs: list[Epoch], dead: set[str], complete: bool) -> bool:
        """Send the status that the writers' ends amount to, last of all and once; ``running`` again when a writer came back.

        Returns whether all writers have ended.
        """
        known = self._known()
        ends = [end_of(epoch, known.get(epoch.id, {}), epoch.id in dead) for epoch in epochs]
        end = final(ends)
        sent = self._context.checkpoint.state.facts.get("status_sent")
        if end is None:
            if sent not in (None, "running") and self._kind == "run":
                self._send({"status": "running"}, "running")
        elif complete and sent != [end.status, end.at]:
            self._close(end)
        return all(one.over for one in ends)

    def _close(self, end: End) -> None:
        mark = [end.status, end.at]
        if self._kind == "run":
            self._send({"status": end.status, "ended_at": end.at or self._context.now()}, mark)
        elif end.status == "crashed" and not self._context.checkpoint.state.facts.get("outcome_sent"):
            error = end.error or "the process ended without finishing the trace"
            self._send({"outcome": "bad", "metadata": {"error": error}}, mark)

    def _known(self) -> dict[str, dict[str, Any]]:
        return dict(self._context.checkpoint.state.facts.get("ends") or {})

    def _note_exit(self, epoch: Epoch, record: Record) -> None:
        fields = json.loads(record.data)
        known = self._known().get(epoch.id, {})
        news: dict[str, Any] = {"done": True, "at": known.get("at") or fields.get("at") or ""}
        if record.type == b"exit" and fields.get("status") and not known.get("explicit"):
            news.update(status=fields["status"], error=str(fields.get("exception") or ""))
        self.note_end(epoch, **news)

    def _note_dropped(self, epoch: Epoch, record: Record) -> None:
        fields = json.loads(record.data)
        checkpoint = self._context.checkpoint
        dropped = dict(checkpoint.state.facts.get("dropped") or {})
        dropped[f"{epoch.id}-{record.seq}"] = [fields.get("records", 0), fields.get("reasons", {})]
        checkpoint.fact("dropped", dropped)

    def _send(self, fields: dict[str, Any], mark: Any) -> None:
        context = self._context
        digest = sha256(wire.dumps([fields, mark])).hexdigest()[:16]
        key = f"{context.uid}-{context.generation}-close-{digest}"
        server_id = str(context.checkpoint.state.facts["server_id"])
        answer = context.ask(wire.patch_request(self._kind, server_id, fields, key))
        if answer.verdict is Verdict.ACCEPTED:
            context.checkpoint.fact("status_sent", mark)
        elif answer.verdict in (Verdict.MISSING, Verdict.DELETED):
            kind = "forgotten" if answer.verdict is Verdict.MISSING else "deleted"
            raise Halt(kind, answer.reason, scope="session")
        else:
            context.troubles.append(answer.reason)


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
