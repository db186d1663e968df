"""How the spans of a chat trace hang together: parents, calls and their results, what each one says. Pure.

A span is the object that the spool holds; nothing is taken for granted of what is in it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from tracehoused.export.times import nanoseconds

__all__ = [
    "Recorded",
    "call_id",
    "calls",
    "error_of",
    "lasts",
    "parents_first",
    "said",
    "span_id",
    "text_part",
    "usage",
    "worded",
]

Recorded = Mapping[str, Any]

_USAGE = {
    "gen_ai.usage.input_tokens": ("input_tokens", "prompt_tokens"),
    "gen_ai.usage.output_tokens": ("output_tokens", "completion_tokens"),
}


def span_id(span: Recorded) -> str:
    return str(span.get("id"))


def said(span: Recorded) -> dict[str, Any]:
    """Its attributes."""
    found = span.get("attributes")
    return found if isinstance(found, dict) else {}


def lasts(span: Recorded) -> bool:
    """It has a duration: something may have happened within it."""
    begin, end = nanoseconds(span.get("start_at")), nanoseconds(span.get("end_at"))
    return begin is not None and end is not None and end > begin


def error_of(span: Recorded) -> str | None:
    """What went wrong, "" where it does not say, None where nothing did."""
    if span.get("status") != "error":
        return None
    found = said(span).get("error")
    return "" if found is None else worded(found) or ""


def call_id(span: Recorded) -> str:
    """What a call is known by: the model's own id of it, else the span's."""
    found = said(span).get("call_id")
    return found if isinstance(found, str) and found else span_id(span)


def text_part(kind: str, text: object) -> dict[str, Any]:
    """A part of a message: ``kind`` is "text" or "reasoning"."""
    return {"type": kind, "content": worded(text) or ""}


def worded(value: object) -> str | None:
    """A text as it is, anything else as JSON text, None as None."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def usage(span: Recorded) -> dict[str, int]:
    """Tokens, where the attributes or their ``usage`` name them as the usual interfaces do."""
    attributes = said(span)
    inner = attributes.get("usage")
    places = [attributes, inner if isinstance(inner, dict) else {}]
    found = {}
    for told, names in _USAGE.items():
        counts = [place[name] for place in places for name in names if type(place.get(name)) is int]
        if counts:
            found[told] = counts[0]
    return found


def parents_first(held: Mapping[str, Recorded]) -> Iterator[Recorded]:
    """In the order they were recorded, but none before the one that it happened in, which is recorded at its end."""
    given: set[str] = set()
    for own in held:
        chain: list[str] = []
        at: object = own
        while isinstance(at, str) and at in held and at not in given and at not in chain:
            chain.append(at)
            at = held[at].get("parent_span_id")
        for name in reversed(chain):
            given.add(name)
            yield held[name]


def calls(held: Mapping[str, Recorded]) -> dict[str, str]:
    """The call that each result answers, by their ids: its parent; else the one of its ``call_id``; else the oldest call of that
    tool, or of any if it names none, that has no result yet."""
    found: dict[str, str] = {}
    waiting: deque[Recorded] = deque()
    by_call_id: dict[str, str] = {}
    claimed = {parent for parent in map(_parent_of_result, held.values()) if parent is not None}
    for span in parents_first(held):
        if span.get("kind") == "tool_use":
            by_call_id[call_id(span)] = span_id(span)
            if span_id(span) not in claimed and "result_text" not in said(span):
                waiting.append(span)
        elif span.get("kind") == "tool_result":
            call = _answered(span, held, by_call_id, waiting)
            if call is not None:
                found[span_id(span)] = call
                waiting = deque(one for one in waiting if span_id(one) != call)
    return found


def _parent_of_result(span: Recorded) -> str | None:
    parent = span.get("parent_span_id")
    return parent if span.get("kind") == "tool_result" and isinstance(parent, str) else None


def _answered(
    result: Recorded, held: Mapping[str, Recorded], by_call_id: dict[str, str], waiting: deque[Recorded]
) -> str | None:
    parent = _parent_of_result(result)
    if parent is not None and parent in held and held[parent].get("kind") == "tool_use":
        return parent
    told = said(result).get("call_id")
    if isinstance(told, str):
        return by_call_id.get(told)
    name = result.get("name")
    return next((span_id(call) for call in waiting if name in (call.get("name"), "tool_result")), None)
