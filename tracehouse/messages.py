"""Lists of messages as OpenAI's and Anthropic's interfaces have them, as spans. Pure; unknown parts are kept as attachments, and so is
a message whose parts cannot be told.

==========================================  ===========================================================
message or part                             span
==========================================  ===========================================================
role user                                   user_msg, ``text``
role system, developer                      user_msg named ``system message``, ``text``, ``role``
role assistant, model                       assistant_msg, ``text``
tool_calls, function_call, tool_use         tool_use named by the tool, ``tool_input``, ``call_id``
role tool, function; tool_result;           tool_result named by the tool, ``result_text``, ``call_id``
type function_call_output
thinking, reasoning_content, reasoning      thinking, ``text``
image, image_url, input_audio, document …   attachment named by its type, the part itself as attributes
==========================================  ===========================================================
"""

from __future__ import annotations

from collections import namedtuple

from tracehouse.exceptions import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, NamedTuple

    class Part(NamedTuple):
        """``call``: the id of the call that this is; ``answers``: of the one that this is the result of."""

        kind: str
        name: str
        attributes: dict[str, Any]
        status: str | None = None
        call: str | None = None
        answers: str | None = None

else:
    Part = namedtuple("Part", "kind name attributes status call answers", defaults=(None, None, None))

_TEXT = ("text", "input_text", "output_text", "refusal", "reasoning_text", "summary_text")
_SPOKEN = {
    "user": ("user_msg", "user message"),
    "human": ("user_msg", "user message"),
    "assistant": ("assistant_msg", "assistant message"),
    "ai": ("assistant_msg", "assistant message"),
    "model": ("assistant_msg", "assistant message"),
    "system": ("user_msg", "system message"),
    "developer": ("user_msg", "developer message"),
}


def spans_of(messages: Iterable[Any]) -> Iterator[Part]:
    """The parts of each message in order. ArgumentError for what is no message: one has a ``role``, or is an item with a ``type``,
    as OpenAI's Responses have calls, their outputs, and reasoning."""
    tools: dict[str, str] = {}
    for message in [messages] if isinstance(messages, dict) else messages:
        known = _plain(message)
        try:
            parts = list(_noted(_message(known, tools), tools))
        except (AttributeError, TypeError):
            parts = [Part("attachment", "message", {"message": known})]  # its parts are none as anybody has them
        yield from parts


def _noted(parts: Iterator[Part], tools: dict[str, str]) -> Iterator[Part]:
    for part in parts:
        if part.call:
            tools[part.call] = part.name
        hash(part.answers)  # what is no id
        yield part


def _plain(message: Any) -> dict[str, Any]:
    from tracehouse.plain import plain
    from tracehouse.values import MAX_DEPTH

    message = plain(message, MAX_DEPTH)  # a dict, too, may hold objects of a library
    if not isinstance(message, dict) or not any(isinstance(message.get(name), str) for name in ("role", "type")):
        raise ArgumentError(f"a message has a role and a content, got {message!r:.100}")
    return message


def _message(message: dict[str, Any], tools: dict[str, str]) -> Iterator[Part]:
    if not isinstance(message.get("role"), str):
        yield from _item(message, tools)
        return
    role, content = message["role"], message.get("content")
    if role in ("tool", "function"):
        yield _tool_result(message.get("tool_call_id"), message.get("name"), content, False, tools)
        return
    thought = message.get("reasoning_content") or message.get("reasoning")
    if thought:
        yield Part("thinking", "thinking", {"text": thought})
    for block in content if isinstance(content, list) else [content]:
        yield from _block(role, block, tools)
    if message.get("refusal"):
        yield _spoken(role, message["refusal"])
    for call in message.get("tool_calls") or ():
        yield _call(call.get("id"), call.get("function") or call.get("custom") or {})
    if message.get("function_call"):
        yield _call(None, message["function_call"])


def _item(item: dict[str, Any], tools: dict[str, str]) -> Iterator[Part]:
    """What has a type and no role."""
    kind, call = item["type"], item.get("call_id")
    if kind.endswith("_call_output"):
        yield _tool_result(call, None, item.get("output"), False, tools)
    elif kind in ("function_call", "custom_tool_call"):
        yield _call(call, item)
    elif kind == "reasoning":
        texts, _ = _texts([*(item.get("content") or ()), *(item.get("summary") or ())])
        yield Part("thinking", "thinking", {"text": texts} if texts else {"redacted": True})
    else:
        yield from _block("assistant", item, tools)


def _block(role: str, block: Any, tools: dict[str, str]) -> Iterator[Part]:
    if block is None or block == "":
        return
    if not isinstance(block, dict):
        yield _spoken(role, block)
        return
    kind = str(block.get("type", "text"))
    if kind in _TEXT:
        yield _spoken(role, block.get("text", block.get("refusal")))
    elif kind in ("thinking", "redacted_thinking", "reasoning"):
        text = block.get("thinking", block.get("text"))
        yield Part("thinking", "thinking", {"text": text} if text else {"redacted": True})
    elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        call = block.get("id")
        attributes = {"tool_input": _object(block.get("input")), **({"call_id": call} if call else {})}
        yield Part("tool_use", str(block.get("name", "tool_use")), attributes, call=call)
    elif kind.endswith("tool_result"):
        yield _tool_result(block.get("tool_use_id"), None, block.get("content"), bool(block.get("is_error")), tools)
    else:
        yield Part("attachment", kind, dict(block))


def _spoken(role: str, text: Any) -> Part:
    kind, name = _SPOKEN.get(role, ("user_msg", f"{role} message"))
    told = {} if name in ("user message", "assistant message") else {"role": role}
    return Part(kind, name, {"text": text, **told})


def _call(call: str | None, function: dict[str, Any]) -> Part:
    given = function.get("arguments", function.get("input"))
    attributes = {"tool_input": _object(given), **({"call_id": call} if call else {})}
    return Part("tool_use", str(function.get("name", "tool_use")), attributes, call=call)


def _tool_result(call: str | None, name: Any, content: Any, is_error: bool, tools: dict[str, str]) -> Part:
    texts, others = _texts(content)
    attributes: dict[str, Any] = {"result_text": texts}
    if others:
        attributes["content"] = others
    if call:
        attributes["call_id"] = call
    label = str(name or tools.get(call or "", "tool_result"))
    return Part("tool_result", label, attributes, "error" if is_error else None, answers=call)


def _texts(content: Any) -> tuple[Any, list[Any]]:
    """(the text of a result, its parts that are no text)."""
    if not isinstance(content, list):
        return content if content is not None else "", []
    is_text = [isinstance(part, str) or (isinstance(part, dict) and part.get("type") in _TEXT) for part in content]
    texts = [
        part if isinstance(part, str) else str(part.get("text", "")) for part, it_is in zip(content, is_text) if it_is
    ]
    return "\n".join(texts), [part for part, it_is in zip(content, is_text) if not it_is]


def _object(given: Any) -> dict[str, Any]:
    """Arguments of a call: an object, often as JSON text; what is none keeps its place under ``input``."""
    if isinstance(given, dict):
        return given
    if not given:
        return {}
    import json

    try:
        found = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        found = given
    return found if isinstance(found, dict) else {"input": found}
