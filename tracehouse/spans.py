"""One step of a trace: the value that goes over the wire, and the span that is open while the step is taken."""

from __future__ import annotations

from contextvars import ContextVar

from tracehouse.clock import Stopwatch
from tracehouse.exceptions import ArgumentError
from tracehouse.exits import told
from tracehouse.ids import uuid4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import Any, Callable

KINDS = ("user_msg", "assistant_msg", "tool_use", "tool_result", "thinking", "attachment")
STATUSES = ("ok", "error")


class Span:
    """A span as it goes over the wire.

    ``id`` is a UUID, ``kind`` one of user_msg, assistant_msg, tool_use, tool_result, thinking, attachment; ``start_at`` and ``end_at``
    are UTC ISO 8601 texts; ``attributes`` a JSON object in which pages show ``text``, ``result_text`` (texts) and ``tool_input``
    (object); ``status`` "ok", "error" or None. ``push_spans`` records it as it is; the same id again updates it.

    >>> cm.Span("5f6c…", "s1", "user_msg", "user message", "2026-01-31T12:00:00.000000Z").to_payload()["kind"]
    'user_msg'
    """

    __slots__ = (
        "attributes",
        "end_at",
        "id",
        "kind",
        "name",
        "parent_span_id",
        "session_id",
        "start_at",
        "status",
    )
    __hash__ = None  # type: ignore[assignment]  # mutable, and equal by content

    def __init__(
        self,
        id: str,  # noqa: A002
        session_id: str,
        kind: str,
        name: str,
        start_at: str,
        end_at: str | None = None,
        parent_span_id: str | None = None,
        attributes: dict[str, Any] | None = None,
        status: str | None = None,
    ) -> None:
        self.id = id
        self.session_id = session_id
        self.kind = kind
        self.name = name
        self.start_at = start_at
        self.end_at = end_at
        self.parent_span_id = parent_span_id
        self.attributes: dict[str, Any] = {} if attributes is None else attributes
        self.status = status

    def to_payload(self) -> dict[str, Any]:
        """The object that goes over the wire; what is None is left out."""
        payload: dict[str, Any] = {
            "id": self.id,
            "session_id": self.session_id,
            "kind": self.kind,
            "name": self.name,
            "start_at": self.start_at,
            "attributes": self.attributes,
        }
        if self.end_at is not None:
            payload["end_at"] = self.end_at
        if self.parent_span_id is not None:
            payload["parent_span_id"] = self.parent_span_id
        if self.status is not None:
            payload["status"] = self.status
        return payload

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in _ORDER)
        return f"{type(self).__name__}({fields})"


_ORDER = ("id", "session_id", "kind", "name", "start_at", "end_at", "parent_span_id", "attributes", "status")


class OpenSpan:
    """A span that lasts as long as its ``with`` (or ``async with``) block; it is recorded when the block ends.

    While it is open, ``attributes``, ``name`` and ``status`` may be changed: the status to "ok" or "error", ArgumentError for another.
    Spans recorded inside the block, also in tasks started there, have it as their parent. A block left by an exception gives status
    "error" and ``attributes["error"]``.

    >>> run = cm.init(project="my-bot")
    >>> with run.span("tool_use", "search", input={"query": "jq"}) as span:
    ...     result = run.log_tool_result("jq 1.8", tool="search")
    ...     span.attributes["hits"] = 1
    >>> result.parent_span_id == span.id, span.status, span.attributes["tool_input"]
    (True, 'ok', {'query': 'jq'})
    """

    __slots__ = (
        "_pieces",
        "_record",
        "_status",
        "_token",
        "_watch",
        "attributes",
        "id",
        "is_astray",
        "kind",
        "name",
        "outer",
        "parent_span_id",
        "session_id",
    )

    def __init__(
        self,
        record: Callable[[Span], Span],
        session_id: str,
        kind: str,
        name: str,
        attributes: dict[str, Any],
        parent_span_id: str | None,
    ) -> None:
        self._record = record
        self._pieces: list[str] = []
        self._watch = Stopwatch()
        self._token: Token[OpenSpan | None] | None = None
        self.id = uuid4()
        self.session_id = session_id
        self.kind = kind
        self.name = name
        self.attributes = attributes
        self.parent_span_id = parent_span_id
        self._status: str | None = None
        self.outer: OpenSpan | None = None
        self.is_astray = False  # it has ended, and is still the current one where it began

    @property
    def status(self) -> str | None:
        """None while nothing was said; the end of the block makes that "ok" or "error"."""
        return self._status

    @status.setter
    def status(self, value: str | None) -> None:
        if value is not None:
            check_status(value)
        self._status = value

    def write(self, text: str) -> None:
        """Add a piece of text, as a model streams it; the span gets the whole as ``attributes["text"]`` when it ends."""
        self._pieces.append(text)

    def __enter__(self) -> OpenSpan:
        self._watch = Stopwatch()
        self.outer = _not_astray(_current.get())
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if self._pieces:
            self.attributes["text"] = str(self.attributes.get("text", "")) + "".join(self._pieces)
        if error is not None:
            self.attributes.setdefault("error", told(error))
        if self.status is None:
            self.status = "ok" if error is None else "error"
        end_at = self._watch.end_at()
        self._record(
            Span(
                self.id,
                self.session_id,
                self.kind,
                self.name,
                self._watch.start_at,
                end_at,
                self.parent_span_id,
                self.attributes,
                self.status,
            )
        )

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is None:
            return
        now = _current.get()
        try:
            _current.reset(token)
        except ValueError:
            # entered in another context, as by a generator that someone else closes: nothing can be restored there
            self.is_astray = True
            return
        if now is self:
            _current.set(self.outer)
            return
        # generators end in any order: what was entered since goes on, now inside of what this was inside of
        _current.set(now)
        while now is not None and now.outer is not self:
            now = now.outer
        if now is not None:
            now.outer = self.outer

    async def __aenter__(self) -> OpenSpan:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


_current: ContextVar[OpenSpan | None] = ContextVar("tracehouse_span", default=None)

innermost = _current.get  # of any trace in this context; None when no span is open


def parent_in(session_id: str) -> str | None:
    """The id of the innermost open span of that trace in this context."""
    span = _not_astray(_current.get())
    while span is not None and span.session_id != session_id:
        span = _not_astray(span.outer)
    return None if span is None else span.id


def _not_astray(span: OpenSpan | None) -> OpenSpan | None:
    while span is not None and span.is_astray:
        span = span.outer
    return span


def check_kind(kind: str) -> None:
    """ArgumentError unless it is one of the six."""
    if kind not in KINDS:
        raise ArgumentError(f"kind must be one of {KINDS}, got {kind!r}")


def check_status(status: object) -> None:
    """ArgumentError unless it is "ok" or "error"."""
    if status not in STATUSES:
        raise ArgumentError(f"status must be one of {STATUSES}, got {status!r:.100}")


def attributes_of(given: Mapping[str, Any] | None, what: str = "attributes") -> dict[str, Any]:
    """A dict of one's own; ArgumentError for what is no mapping."""
    if given is None:
        return {}
    try:
        return dict(given)
    except (TypeError, ValueError):
        raise ArgumentError(f"{what} must be a mapping, got {given!r:.100}") from None
