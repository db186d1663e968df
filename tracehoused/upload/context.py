"""What the steps of a pass share: one session at one destination, and the way to ask its server."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Callable

from tracehoused.http.capabilities import Capabilities
from tracehoused.http.request import Request
from tracehoused.http.retry import Answer, Verdict
from tracehoused.upload.batch import Record, Render
from tracehoused.upload.checkpoint import Checkpoint
from tracehoused.upload.deadletter import DeadLetter, DeadLetters

if TYPE_CHECKING:
    from tracehoused.http.client import Client

__all__ = ["Context", "Halt", "nonfinite"]

_WAIT = 0.5
_MOST_WAITS = 20
_LONGEST_WAIT = 10.0  # a server that asks for more is asked again in a later pass: nobody else waits for it


class Halt(Exception):
    """Sending stops here: for the whole destination, for all sessions with this key ("identity"), or for this session.

    ``kind``: "unavailable" (try again after ``retry_after``), "paused" (someone must do something), "deleted" (on the server),
    "forgotten" (by the server), "lease" (another agent has it), "turn" (other sessions have waited long enough).
    """

    def __init__(self, kind: str, reason: str, *, scope: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.scope = scope
        self.retry_after = retry_after


def _utc_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Context:
    """What all requests of one session at one destination share. ``still_ours`` is asked right before each of them.
    ``heard``: the server answered one; ``took``: and accepted it; ``moved``: records were accepted. ``waits``: seconds that it asked to
    wait, for what it did not take for now. ``pausing``: whether others are to have their turn, once something has moved."""

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
    sleep: Callable[[float], None]
    now: Callable[[], str] = _utc_now
    sent: Callable[[int, int], None] = lambda records, size: None
    answered: Callable[[str], None] = lambda verdict: None
    stopping: Callable[[], bool] = lambda: False
    pausing: Callable[[], bool] = lambda: False
    troubles: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    heard: bool = False
    took: bool = False
    moved: bool = False

    @property
    def generation(self) -> int:
        return self.checkpoint.state.generation

    def floor(self, least: float | None = None) -> float | None:
        """Seconds that nothing is to be sent again for: the longest of ``waits`` and ``least``, None where there is none."""
        return max(self.waits if least is None else [least, *self.waits], default=None)

    def ask(
        self, request: Request, meanwhile: Callable[[], bool] | None = None, *, may_be_lost: bool = False
    ) -> Answer:
        """Send, waiting while the same request is being handled there; Halt for every answer that is about more than its content.
        ``meanwhile``: as of ``Client.send``. ``may_be_lost``: that no answer came is one, too: it may be for this request's content."""
        answer = self._ask_once(request, meanwhile)
        for _ in range(_MOST_WAITS):
            if answer.verdict is not Verdict.IN_FLIGHT or (answer.retry_after or 0.0) > _LONGEST_WAIT:
                break
            self.sleep(max(answer.retry_after or 0.0, _WAIT))
            answer = self._ask_once(request)
        if not (may_be_lost and _is_lost(answer)):
            self._halt_on(answer)
        return answer

    def _ask_once(self, request: Request, meanwhile: Callable[[], bool] | None = None) -> Answer:
        if not self.still_ours():
            raise Halt("lease", "another agent has taken over this session", scope="session")
        if self.stopping():
            raise Halt("stopping", "it was stopped; the rest follows the next time", scope="session")
        if self.moved and self.pausing():
            raise Halt("turn", "", scope="turn")
        answer = self.client.send(request, meanwhile)
        self.answered(answer.verdict.name.lower())
        self.heard = self.heard or answer.status is not None
        self.took = self.took or answer.verdict is Verdict.ACCEPTED
        if answer.verdict is Verdict.RETRY and answer.retry_after is not None:
            self.waits.append(answer.retry_after)
        return answer

    def _halt_on(self, answer: Answer) -> None:
        verdict, reason = answer.verdict, answer.reason
        if _is_lost(answer) or answer.status == 429:
            raise Halt("unavailable", reason, scope="destination", retry_after=answer.retry_after)
        if verdict is Verdict.IN_FLIGHT:
            raise Halt("unavailable", reason, scope="session", retry_after=answer.retry_after)
        if verdict is Verdict.UNAUTHORIZED:
            raise Halt("paused", reason, scope="identity")
        if verdict is Verdict.MISCONFIGURED:
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
        return self.dead.add(letter)

    def note_sent(self, records: int, size: int) -> None:
        """So many were accepted, in so many bytes."""
        self.moved = True
        self.sent(records, size)

    def count(self, name: str, number: int = 1) -> None:
        self.checkpoint.fact(name, int(self.checkpoint.state.facts.get(name) or 0) + number)


def _is_lost(answer: Answer) -> bool:
    return answer.verdict is Verdict.RETRY and answer.status is None


def nonfinite(capabilities: Capabilities, checkpoint: Checkpoint) -> bool | None:
    """What was sent under a key is sent again as it was, whatever the server has learnt since."""
    if checkpoint.state.in_flight and isinstance(checkpoint.state.facts.get("nonfinite"), bool):
        return bool(checkpoint.state.facts["nonfinite"])
    found = capabilities.nonfinite if capabilities.known else None
    checkpoint.fact("nonfinite", found)
    return found
