"""A chat trace as OpenTelemetry spans by the semantic conventions for generative AI. Pure.

==================================  ====================================================================================
in the spool                        span
==================================  ====================================================================================
the trace                           ``invoke_agent {scaffold}``, the root: model, outcome, metadata, first and last words
thinking, assistant_msg, tool_use   ``chat {model}``: one for each turn of the model, with ``gen_ai.input.messages`` (what came in since
                                    the turn before) and ``gen_ai.output.messages`` (reasoning, text and calls)
tool_use and its tool_result        ``execute_tool {name}``, from the call to the result, arguments and result with it
attachment                          ``attachment {name}``
user_msg, thinking with a duration  a span of their own as well, for they may hold others
==================================  ====================================================================================

What the conventions have no name for is under ``tracehouse.``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tracehoused.export import otlp
from tracehoused.export.conversation import (
    Recorded,
    call_id,
    calls,
    error_of,
    lasts,
    parents_first,
    said,
    span_id,
    text_part,
    usage,
    worded,
)
from tracehoused.export.trace import Trace, error_type, model_told

__all__ = ["convert"]

_SHOWN = frozenset(("text", "result_text", "tool_input", "call_id", "error", "usage"))


def convert(trace: Trace) -> list[otlp.Span]:
    """The spans of all that the trace holds, and nothing is held any more."""
    made = _Walk(trace).run()
    trace.held = {}
    return made


@dataclass
class _Turn:
    """One answer of the model: the span that names it, the parts of its message, and from when to when."""

    id: str
    parent: str
    begin: int
    end: int
    parts: list[dict[str, Any]] = field(default_factory=list)
    has_text: bool = False
    has_calls: bool = False
    source: Recorded = field(default_factory=dict)


class _Walk:
    """Goes through the spans in order and makes of them what the table above says."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._made: list[otlp.Span] = []
        self._calls = calls(trace.held)
        self._results: dict[str, list[Recorded]] = {}
        for result, call in self._calls.items():
            self._results.setdefault(call, []).append(trace.held[result])
        self._incoming: list[dict[str, Any]] = []
        self._turn: _Turn | None = None

    def run(self) -> list[otlp.Span]:
        takers = {
            "assistant_msg": self._assistant,
            "thinking": self._thinking,
            "tool_use": self._tool,
            "tool_result": self._result,
            "user_msg": self._user,
        }
        for span in parents_first(self._trace.held):
            takers.get(str(span.get("kind")), self._other)(span)
        self._end_turn()
        return self._made

    def _user(self, span: Recorded) -> None:
        self._end_turn()
        role = said(span).get("role")
        message = {
            "role": role if isinstance(role, str) else "user",
            "parts": [text_part("text", said(span).get("text"))],
        }
        self._incoming.append(message)
        if self._trace.asked is None and message["role"] == "user":
            self._trace.asked = _json([message])
        if lasts(span):
            self._other(span)

    def _thinking(self, span: Recorded) -> None:
        self._fresh_turn(span).parts.append(text_part("reasoning", said(span).get("text")))
        if lasts(span):
            self._other(span)

    def _assistant(self, span: Recorded) -> None:
        turn = self._fresh_turn(span)
        turn.id, turn.parent, turn.has_text, turn.source = span_id(span), self._parent(span), True, span
        turn.parts.append(text_part("text", said(span).get("text")))

    def _tool(self, span: Recorded) -> None:
        turn = self._in_turn(span)
        turn.has_calls = True
        call = {"type": "tool_call", "id": call_id(span), "name": str(span.get("name"))}
        turn.parts.append({**call, "arguments": said(span).get("tool_input")})
        self._execution(span, self._results.get(span_id(span), []))
        if "result_text" in said(span):
            self._end_turn()
            self._respond(call_id(span), said(span)["result_text"])

    def _result(self, span: Recorded) -> None:
        self._end_turn()
        call = self._calls.get(span_id(span))
        known = said(span).get("call_id") if call is None else call_id(self._trace.held[call])
        self._respond(known, said(span).get("result_text"))
        if call is None:
            self._execution(span, [])

    def _respond(self, call: object, response: object) -> None:
        part = {"type": "tool_call_response", "id": call, "response": response}
        self._incoming.append({"role": "tool", "parts": [part]})

    def _execution(self, span: Recorded, results: list[Recorded]) -> None:
        begin, end = self._trace.times(span)
        ends = [self._trace.times(result)[1] for result in results]
        answers = [said(one)["result_text"] for one in (span, *results) if "result_text" in said(one)]
        told = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": str(span.get("name")),
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call_id(span) if span.get("kind") == "tool_use" else said(span).get("call_id"),
            "gen_ai.conversation.id": self._trace.id,
            "gen_ai.tool.call.arguments": _optional_json(said(span).get("tool_input")),
            "gen_ai.tool.call.result": worded(answers[0] if len(answers) == 1 else answers or None),
        }
        errors = [found for one in (span, *results) if (found := error_of(one)) is not None]
        self._make(span, f"execute_tool {span.get('name')}", told, (begin, max([end, *ends])), errors)

    def _other(self, span: Recorded) -> None:
        told: dict[str, Any] = {"gen_ai.conversation.id": self._trace.id}
        told.update({f"tracehouse.{name}": said(span).get(name) for name in ("text", "tool_input", "result_text")})
        name = " ".join(filter(None, (str(span.get("kind") or "span"), worded(span.get("name")))))
        error = error_of(span)
        self._make(span, name, told, self._trace.times(span), [] if error is None else [error])

    def _make(self, span: Recorded, name: str, told: dict[str, Any], times: tuple[int, int], errors: list[str]) -> None:
        error = errors[0] if errors else None
        told = {**told, **_rest(span), "error.type": None if error is None else error_type(error)}
        ids = self._trace.ids(span_id(span), self._parent(span))
        self._made.append(otlp.span(ids, name, otlp.INTERNAL, times, told, error))

    def _fresh_turn(self, span: Recorded) -> _Turn:
        """The model thinks or speaks: what follows a text or a call begins another answer."""
        if self._turn is not None and (self._turn.has_text or self._turn.has_calls):
            self._end_turn()
        return self._in_turn(span)

    def _in_turn(self, span: Recorded) -> _Turn:
        begin, end = self._trace.times(span)
        if self._turn is None:
            self._turn = _Turn(f"turn {span_id(span)}", self._parent(span), begin, begin)
        self._turn.begin = min(self._turn.begin, begin)
        # a call takes as long as its tool does, and is the model's only at its beginning
        self._turn.end = max(self._turn.end, begin if span.get("kind") == "tool_use" else end)
        return self._turn

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        reason = "tool_call" if turn.has_calls else "stop"
        output = _json([{"role": "assistant", "parts": turn.parts, "finish_reason": reason}])
        own = said(turn.source).get("model")
        model = own if isinstance(own, str) and own else self._trace.model
        error = error_of(turn.source)
        told = {
            "gen_ai.operation.name": "chat",
            **model_told(model),
            "gen_ai.conversation.id": self._trace.id,
            "gen_ai.input.messages": _optional_json(self._incoming or None),
            "gen_ai.output.messages": output,
            **usage(turn.source),
            **_rest(turn.source),
            "error.type": None if error is None else error_type(error),
        }
        self._incoming = []
        if turn.has_text:
            self._trace.answered = output
        name = f"chat {model}" if model else "chat"
        ids = self._trace.ids(turn.id, turn.parent)
        self._made.append(otlp.span(ids, name, otlp.CLIENT, (turn.begin, turn.end), told, error))

    def _parent(self, span: Recorded) -> str:
        """The nearest one above that has a span of its own; "" is the root."""
        held, seen = self._trace.held, {span_id(span)}
        above = span.get("parent_span_id")
        while isinstance(above, str) and above in held and above not in seen:
            seen.add(above)
            kind = held[above].get("kind")
            if kind == "tool_result" and above in self._calls:
                return self._calls[above]
            if kind not in ("user_msg", "thinking") or lasts(held[above]):
                return above
            above = held[above].get("parent_span_id")
        return ""


def _rest(span: Recorded) -> dict[str, Any]:
    return {f"tracehouse.{name}": value for name, value in said(span).items() if name not in _SHOWN}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _optional_json(value: object) -> str | None:
    return None if value is None else _json(value)
