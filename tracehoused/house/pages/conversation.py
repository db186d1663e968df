"""Spans as a conversation: turns with a role, a call of a tool joined with its result, images where they were said. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tracehoused.house.pages.markdown import IMAGES
from tracehoused.house.values import micros

Object = dict[str, Any]

LONGEST_TEXT = 200_000
_MOST_IMAGES = 12
_ONE_LINE = 72
_WRITTEN_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+", re.IGNORECASE)
_SURFACED = frozenset({"text", "result_text", "tool_input"})
_HELD_IMAGE = re.compile(r"(?:https?://[^/]+)?(/v1/media/[0-9A-Za-z]{8,64})")
_ROLES = {
    "user_msg": ("user", "User"),
    "assistant_msg": ("assistant", "Assistant"),
    "thinking": ("thinking", "Thinking"),
    "tool_use": ("tool", "Tool"),
    "tool_result": ("tool", "Tool result"),
    "attachment": ("attachment", "Attachment"),
}
_FAILED = frozenset({"error", "failed", "failure"})


@dataclass(frozen=True)
class Said:
    """A text to show. `form`: markdown, plain, or the language of code. `cut`: characters left out at its end."""

    text: str
    form: str
    cut: int = 0


@dataclass(frozen=True)
class Image:
    """`shown`: it is part of the trace or of the house; else it lies elsewhere, and is only named."""

    address: str
    shown: bool


@dataclass
class Turn:
    """One thing said or done. `n` is its span's place and address; `version` changes whenever the turn looks different."""

    n: int
    kind: str
    role: str
    label: str
    name: str
    at: str
    lasted: float | None
    failed: bool
    said: Said | None = None
    given: list[tuple[str, Said]] = field(default_factory=list)
    result: Said | None = None
    result_n: int | None = None
    waits: bool = False
    images: list[Image] = field(default_factory=list)
    facts: list[tuple[str, Said]] = field(default_factory=list)
    version: str = ""


def turns_of(spans: list[tuple[int, Object]]) -> list[Turn]:
    """`spans`: (place, wire object) in the order of the conversation."""
    made: list[Turn] = []
    open_calls: list[tuple[Object, Turn]] = []
    for n, span in spans:
        if span["kind"] == "tool_result":
            call = _call_of(span, open_calls)
            if call is not None:
                _answer(call, n, span)
                continue
        turn = _turn(n, span)
        made.append(turn)
        if span["kind"] == "tool_use":
            open_calls.append((span, turn))
    for _, turn in open_calls:
        turn.waits = turn.result_n is None
    for turn in made:
        turn.version = hashlib.sha256(repr(turn).encode("utf-8", "replace")).hexdigest()[:12]
    return made


def _call_of(result: Object, calls: list[tuple[Object, Turn]]) -> Turn | None:
    """The call that a result answers: by its parent, by the call's id, else the oldest open one that it can belong to."""
    attributes = result["attributes"]
    call_id, parent = attributes.get("call_id", attributes.get("tool_use_id")), result.get("parent_span_id")
    waiting = [(span, turn) for span, turn in calls if turn.result_n is None]
    for span, turn in waiting:
        if parent == span["id"] or (call_id is not None and call_id == span["attributes"].get("call_id", span["id"])):
            return turn
    if call_id is not None or parent in {span["id"] for span, _ in calls}:
        return None
    for span, turn in waiting:
        if result["name"] in (span["name"], "tool_result"):
            return turn
    return None


def _answer(call: Turn, n: int, result: Object) -> None:
    call.result = _text_of(result["attributes"], "result_text", "text") or Said("", "plain")
    call.result_n = n
    call.failed = call.failed or _is_failed(result)
    call.images += _images(result["attributes"])
    begun, ended = seconds(call.at), seconds(result.get("end_at") or result["start_at"])
    if begun is not None and ended is not None:
        call.lasted = max(call.lasted or 0.0, ended - begun)


def _turn(n: int, span: Object) -> Turn:
    attributes = span["attributes"]
    role, label = _ROLES[span["kind"]]
    told = str(attributes.get("role", "")) or span["name"].partition(" message")[0]
    if role == "user" and told in ("system", "developer"):
        role, label = "system", told.capitalize()
    turn = Turn(n, span["kind"], role, label, span["name"], span["start_at"], lasted(span), _is_failed(span))
    turn.images = _images(attributes)
    if span["kind"] == "tool_result":
        turn.result, turn.result_n = _text_of(attributes, "result_text", "text"), n
    else:
        turn.said = _text_of(attributes, "text", "result_text", markdown=True)
    if attributes.get("tool_input") is not None:
        turn.given = _fields(attributes["tool_input"])
    if span["kind"] == "attachment":
        rest = {name: value for name, value in attributes.items() if name not in _SURFACED}
        turn.facts = [] if turn.images else _fields(rest)
    return turn


def _is_failed(span: Object) -> bool:
    return str(span.get("status") or "").lower() in _FAILED or span["attributes"].get("is_error") is True


def said(text: str, form: str) -> Said:
    return Said(text[:LONGEST_TEXT], form, max(0, len(text) - LONGEST_TEXT))


def _text_of(attributes: Object, *names: str, markdown: bool = False) -> Said | None:
    value = next((attributes[name] for name in names if attributes.get(name) is not None), None)
    if value is None:
        return None
    if isinstance(value, str):
        return said(value, "markdown" if markdown else _form_of(value))
    return said(json.dumps(value, indent=2, ensure_ascii=False), "json")


def _form_of(text: str) -> str:
    return "json" if text[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]") else "plain"


def _fields(value: Any) -> list[tuple[str, Said]]:
    """What a tool was given, by name: text as text, all else as JSON."""
    if not isinstance(value, dict):
        return [("", said(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), "plain"))]
    return [(name, _field(name, one)) for name, one in value.items()]


def _field(name: str, value: Any) -> Said:
    if isinstance(value, str):
        return said(value, {"command": "bash", "cmd": "bash", "sql": "sql", "code": "python"}.get(name, "plain"))
    flat = json.dumps(value, ensure_ascii=False)
    return said(flat if len(flat) <= _ONE_LINE else json.dumps(value, indent=2, ensure_ascii=False), "json")


def _images(attributes: Object) -> list[Image]:
    found: list[Image] = []
    for one in _walk(attributes):
        if one not in found:
            found.append(one)
        if len(found) == _MOST_IMAGES:
            break
    return found


def _walk(attributes: Object) -> Iterator[Image]:
    level: list[tuple[str, Any]] = list(attributes.items())
    while level:
        key, value = level.pop(0)
        if isinstance(value, dict):
            if value.get("type") == "base64" and isinstance(value.get("data"), str):
                kind = str(value.get("media_type", value.get("mime_type", "")))
                yield from _image(f"data:{kind};base64,{value['data']}", "data")
            else:
                level += value.items()
        elif isinstance(value, list):
            level += [(key, item) for item in value[:100]]
        elif isinstance(value, str):
            yield from _image(value, key)


def _image(text: str, key: str) -> Iterator[Image]:
    held = _HELD_IMAGE.fullmatch(text[:200])
    if text[:40].lower().startswith(IMAGES) and _WRITTEN_IMAGE.fullmatch(text):
        yield Image(text, True)
    elif held:
        yield Image(held[1], True)
    elif key in ("url", "image_url") and re.match(r"https?://", text):
        yield Image(text, False)


def lasted(span: Object) -> float | None:
    """Seconds from a span's start to its end; None where it has no length."""
    begun, ended = seconds(span["start_at"]), seconds(span.get("end_at"))
    return ended - begun if begun is not None and ended is not None and ended > begun else None


def seconds(text: str | None) -> float | None:
    try:
        return None if text is None else micros(text) / 1_000_000
    except (ValueError, OverflowError):
        return None
