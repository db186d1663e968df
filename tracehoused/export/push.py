"""Spans to an OTLP/HTTP endpoint, in requests of bounded size, each tried until it is answered or given up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable

from tracehoused.exceptions import AgentError
from tracehoused.export.otlp import Resource, Span, request
from tracehoused.http.request import Request
from tracehoused.http.retry import Answer, Backoff, Verdict

if TYPE_CHECKING:
    from tracehoused.http.client import Client

__all__ = ["MOST_SPANS", "Pushed", "Pusher", "batches"]

Pair = tuple[Resource, Span]

MOST_SPANS = 500
_MOST_TEXT = 1 << 20
_TRIES = 8


@dataclass
class Pushed:
    """``refused`` spans are those the endpoint will not have; ``reasons`` why, each once."""

    accepted: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def refuse(self, count: int, reason: str) -> None:
        self.refused += count
        self.reasons[reason] = self.reasons.get(reason, 0) + count


class Pusher:
    """``headers`` go with each request. ``sleep`` waits so many seconds."""

    def __init__(
        self,
        client: Client,
        headers: tuple[tuple[str, str], ...],
        version: str,
        backoff: Backoff,
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._headers = headers
        self._version = version
        self._backoff = backoff
        self._sleep = sleep
        self.pushed = Pushed()

    def push(self, spans: Iterable[Pair]) -> None:
        """Send them all. AgentError when the endpoint does not answer, or refuses this sender whatever is sent."""
        for batch in batches(spans):
            self._send(batch)

    def _send(self, batch: list[Pair]) -> None:
        body = request(self._version, batch)
        answer = self._answer(
            Request("POST", "/v1/traces", body=body, headers=self._headers, expect="object or nothing")
        )
        if answer.verdict is Verdict.ACCEPTED:
            self._count(answer, len(batch))
        elif answer.verdict is Verdict.REFUSED and len(batch) > 1:
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])
        elif answer.verdict is Verdict.REFUSED:
            self.pushed.refuse(1, self._hidden(answer.reason))
        else:
            raise AgentError(
                f"{self._client.api_base}/v1/traces: {self._hidden(answer.reason)}",
                hint=f"{self.pushed.accepted} spans were sent before; sending them again does no harm where spans are kept by id",
            )

    def _hidden(self, reason: str) -> str:
        """Headers may hold keys, which a server may send back."""
        for _, value in self._headers:
            reason = reason.replace(value, "…") if value else reason
        return reason

    def _answer(self, asked: Request) -> Answer:
        self._backoff.reset()
        for _ in range(_TRIES - 1):
            answer = self._client.send(asked)
            if answer.verdict is not Verdict.RETRY:
                return answer
            self._sleep(self._backoff.next(answer.retry_after))
        return self._client.send(asked)

    def _count(self, answer: Answer, sent: int) -> None:
        partial = (answer.body or {}).get("partialSuccess")
        told = partial if isinstance(partial, dict) else {}
        refused = _whole(told.get("rejectedSpans"))
        if refused:
            self.pushed.refuse(min(refused, sent), str(told.get("errorMessage") or "no reason given"))
        self.pushed.accepted += max(0, sent - refused)


def batches(spans: Iterable[Pair]) -> Iterator[list[Pair]]:
    """At most 500 spans and about 1 MiB each, or one span that alone is larger."""
    batch: list[Pair] = []
    size = 0
    for pair in spans:
        length = _length(pair[1])
        if batch and (len(batch) >= MOST_SPANS or size + length > _MOST_TEXT):
            yield batch
            batch, size = [], 0
        batch.append(pair)
        size += length
    if batch:
        yield batch


def _length(span: Span) -> int:
    texts = (one["value"].get("stringValue", "") for one in span["attributes"])
    return 300 + sum(80 + len(text) for text in texts)


def _whole(value: object) -> int:
    """A count, which JSON may hold as a text; 0 for what is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
