"""What is said and done in a trace, as spans: the part of it that is called most."""

from __future__ import annotations

from tracehouse.clock import now
from tracehouse.exceptions import ArgumentError
from tracehouse.ids import uuid4
from tracehouse.spans import OpenSpan, Span, attributes_of, check_kind, check_status, innermost, parent_in
from tracehouse.values import encode

try:
    from _json import encode_basestring as quote
except ImportError:
    from json.encoder import encode_basestring as quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Callable

    from tracehouse.redact import Redactor


class ChatLog:
    """``log``, its helpers and ``span`` of a trace whose session is begun."""

    session_id: str
    _append: Callable[[str, str], None]
    _redactor: Redactor | None

    def log(
        self,
        *,
        kind: str,
        name: str,
        text: Any = None,
        attributes: Mapping[str, Any] | None = None,
        parent_span_id: str | None = None,
        status: str | None = None,
    ) -> Span:
        """Record one span. ``text`` becomes ``attributes["text"]`` unless ``text`` or ``result_text`` is there already.

        Without ``parent_span_id`` the innermost open ``span()`` of this trace is its parent. ``status`` is "ok", "error" or None. Raises
        ArgumentError for another status, and for a kind that is none of user_msg, assistant_msg, tool_use, tool_result, thinking,
        attachment.

        >>> run = cm.init(project="my-bot")
        >>> run.log(kind="user_msg", name="judge", text="try again", status="error").attributes
        {'text': 'try again'}
        """
        check_kind(kind)
        return self._span(kind, name, attributes, text, parent_span_id, status)

    def log_user(
        self,
        text: Any,
        *,
        attributes: Mapping[str, Any] | None = None,
        parent_span_id: str | None = None,
        status: str | None = None,
    ) -> Span:
        """What the user, or the environment, says."""
        return self._span("user_msg", "user message", attributes, text, parent_span_id, status)

    def log_assistant(
        self,
        text: Any,
        *,
        attributes: Mapping[str, Any] | None = None,
        parent_span_id: str | None = None,
        status: str | None = None,
    ) -> Span:
        """What the model says."""
        return self._span("assistant_msg", "assistant message", attributes, text, parent_span_id, status)

    def log_thinking(
        self,
        text: Any,
        *,
        attributes: Mapping[str, Any] | None = None,
        parent_span_id: str | None = None,
        status: str | None = None,
    ) -> Span:
        """What the model thinks and does not say."""
        return self._span("thinking", "thinking", attributes, text, parent_span_id, status)

    def log_tool_use(
        self,
        tool: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002
        *,
        text: Any = None,
        parent_span_id: str | None = None,
        status: str | None = None,
    ) -> Span:
        """The model calls ``tool`` with ``input``. ArgumentError for an input that is no mapping."""
        attributes = {"tool_input": attributes_of(input, "input")}
        return self._span("tool_use", tool, attributes, text, parent_span_id, status)

    def log_tool_result(
        self,
        text: Any,
        *,
        tool: str = "tool_result",
        parent_span_id: str | None = None,
        status: str | None = None,
    ) -> Span:
        """What ``tool`` answered; ``parent_span_id`` is the id of the span of its call."""
        return self._span("tool_result", tool, {"result_text": text}, None, parent_span_id, status)

    def log_attachment(
        self,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        text: Any = None,
        parent_span_id: str | None = None,
        status: str | None = None,
    ) -> Span:
        """Something that belongs to the conversation, told by its attributes."""
        return self._span("attachment", name, attributes, text, parent_span_id, status)

    def _span(
        self,
        kind: str,
        name: str,
        given: Mapping[str, Any] | None,
        text: object,
        parent_span_id: str | None,
        status: str | None,
    ) -> Span:
        # a job's every step comes this way: a call less is 2 % of it
        attributes = {"text": text} if given is None and text is not None else _with_text(given, text)
        if status is not None:
            check_status(status)
        if parent_span_id is None and innermost() is not None:
            parent_span_id = parent_in(self.session_id)
        redactor = self._redactor
        if redactor is not None:
            name, attributes = redactor.clean(name), redactor.clean(attributes)
        span_id, session_id, at = uuid4(), self.session_id, now()
        span = Span(span_id, session_id, kind, name, at, at, parent_span_id, attributes, status)
        try:
            # encode(span.to_payload()), in half its time
            if len(attributes) == 1:
                [(key, value)] = attributes.items()
                held = f"{{{quote(key)}:{quote(value)}}}" if type(value) is str else encode(attributes)
            else:
                held = encode(attributes)
            rest = "" if parent_span_id is None else f',"parent_span_id":{quote(parent_span_id)}'
            if status is not None:
                rest = f'{rest},"status":{quote(status)}'
            data = (
                f'{{"id":"{span_id}","session_id":{quote(session_id)},"kind":"{kind}","name":{quote(name)},'
                f'"start_at":"{at}","attributes":{held},"end_at":"{at}"{rest}}}'
            )
        except TypeError:
            # something that should be a text is none
            data = encode(span.to_payload())
        self._append("span", data)
        return span

    def _record_open(self, span: Span) -> Span:
        self._append("span", encode(self._cleaned(span).to_payload()))
        return span

    def span(
        self,
        kind: str,
        name: str | None = None,
        *,
        text: Any = None,
        input: Mapping[str, Any] | None = None,  # noqa: A002
        attributes: Mapping[str, Any] | None = None,
        parent_span_id: str | None = None,
    ) -> OpenSpan:
        """A span with a true start and end, for a ``with`` (or ``async with``) block.

        It is recorded once, at its end. What is recorded inside the block has it as its parent. Raises ArgumentError as ``log`` does.

        >>> run = cm.init(project="my-bot")
        >>> with run.span("assistant_msg") as said:
        ...     for piece in ("brew ", "install ", "jq"):
        ...         said.write(piece)
        >>> said.attributes, said.status
        ({'text': 'brew install jq'}, 'ok')
        """
        check_kind(kind)
        held = _with_text(attributes, text)
        if input is not None:
            held["tool_input"] = attributes_of(input, "input")
        parent = parent_span_id or parent_in(self.session_id)
        return OpenSpan(self._record_open, self.session_id, kind, name or kind, held, parent)

    def push_spans(self, spans: Iterable[Span]) -> None:
        """Record spans as they are, unchecked. One whose id was recorded before updates that one. ArgumentError for what is no Span.

        >>> run = cm.init(project="my-bot")
        >>> call = run.log_tool_use("Bash", {"command": "make"})
        >>> call.status = "error"
        >>> run.push_spans([call])
        """
        for span in list(spans):
            if not isinstance(span, Span):
                raise ArgumentError(f"push_spans takes tracehouse.Span objects, got {span!r:.100}")
            self._append("span", encode(self._cleaned(span).to_payload()))

    def _cleaned(self, span: Span) -> Span:
        if self._redactor is None:
            return span
        clean = self._redactor.clean
        fields = {name: getattr(span, name) for name in Span.__slots__}
        return Span(**{**fields, "name": clean(span.name), "attributes": clean(span.attributes)})

    def log_messages(self, messages: Iterable[Any]) -> list[Span]:
        """Record a list of messages as OpenAI's or Anthropic's interfaces have them, dicts or objects: one span for each text, call,
        result, thought and image in it. A result's parent is its call, where that is in the list. ArgumentError for what has no role.

        >>> run = cm.init(project="my-bot")
        >>> spans = run.log_messages([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}])
        >>> [span.kind for span in spans]
        ['user_msg', 'assistant_msg']
        """
        from tracehouse.messages import spans_of

        logged: dict[str, str] = {}
        spans = []
        for part in spans_of(messages):
            parent = logged.get(part.answers) if part.answers else None
            span = self._span(part.kind, part.name, part.attributes, None, parent, part.status)
            if part.call:
                logged[part.call] = span.id
            spans.append(span)
        return spans


def _with_text(given: Mapping[str, Any] | None, text: object) -> dict[str, Any]:
    if given is None:
        return {} if text is None else {"text": text}
    attributes = attributes_of(given)
    if text is not None and "text" not in attributes and "result_text" not in attributes:
        attributes["text"] = text
    return attributes
