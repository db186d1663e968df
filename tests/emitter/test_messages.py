"""log_messages: lists as OpenAI's and Anthropic's interfaces have them, part by part."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs
from tracehouse.messages import spans_of


def _logged(tmp_path: Path, messages: Any) -> list[tuple[str, str, dict[str, Any]]]:
    run = cm.Run(session_id="s", spool_dir=tmp_path)
    run.log_messages(messages)
    run.finish()
    spans = jobs.of_type(jobs.only_session(tmp_path), "span")
    return [(span["kind"], span["name"], span["attributes"]) for span in spans]


def test_openai_messages(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}}
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "done"},
    ]
    assert _logged(tmp_path, messages) == [
        ("user_msg", "system message", {"text": "be kind", "role": "system"}),
        ("user_msg", "user message", {"text": "hi"}),
        ("attachment", "image_url", {"type": "image_url", "image_url": {"url": "u"}}),
        ("thinking", "thinking", {"text": "hm"}),
        ("tool_use", "search", {"tool_input": {"q": "x"}, "call_id": "c1"}),
        ("tool_result", "search", {"result_text": "found", "call_id": "c1"}),
        ("assistant_msg", "assistant message", {"text": "done"}),
    ]


def test_anthropic_messages(tmp_path: Path) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    messages = [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, image],
                    "is_error": True,
                }
            ],
        },
    ]
    assert _logged(tmp_path, messages) == [
        ("user_msg", "user message", {"text": "hi"}),
        ("thinking", "thinking", {"text": "hm"}),
        ("thinking", "thinking", {"redacted": True}),
        ("assistant_msg", "assistant message", {"text": "let me see"}),
        ("tool_use", "Read", {"tool_input": {"path": "x"}, "call_id": "t1"}),
        ("tool_result", "Read", {"result_text": "a\nb", "content": [image], "call_id": "t1"}),
    ]
    *_, use, result = jobs.of_type(jobs.only_session(tmp_path), "span")
    assert result["parent_span_id"] == use["id"]
    assert result["status"] == "error"


def test_items_of_openais_responses(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "id": "rs1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "reasoning", "id": "rs2", "summary": [], "encrypted_content": "e"},
        {"type": "function_call", "call_id": "c1", "name": "search", "arguments": '{"q": "x"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "found"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
        {"type": "web_search_call", "status": "completed"},
    ]
    assert _logged(tmp_path, messages) == [
        ("user_msg", "user message", {"text": "hi"}),
        ("thinking", "thinking", {"text": "hm"}),
        ("thinking", "thinking", {"redacted": True}),
        ("tool_use", "search", {"tool_input": {"q": "x"}, "call_id": "c1"}),
        ("tool_result", "search", {"result_text": "found", "call_id": "c1"}),
        ("assistant_msg", "assistant message", {"text": "done"}),
        ("attachment", "web_search_call", {"type": "web_search_call", "status": "completed"}),
    ]


def test_messages_may_be_objects_of_a_library() -> None:
    class Message:
        """As pydantic's models say what they hold."""

        model_fields: dict[str, object] = {}  # noqa: RUF012

        def model_dump(self) -> dict[str, object]:
            return {"role": "assistant", "content": "hi", "tool_calls": None}

    parts = list(spans_of([Message(), SimpleNamespace(role="user", content="x")]))
    assert [(part.kind, part.attributes) for part in parts] == [
        ("assistant_msg", {"text": "hi"}),
        ("user_msg", {"text": "x"}),
    ]


def test_messages_may_hold_objects_of_a_library() -> None:
    function = SimpleNamespace(name="search", arguments='{"q": "x"}')
    blocks = (
        SimpleNamespace(type="text", text="hi"),
        SimpleNamespace(type="tool_use", id="c2", name="Bash", input={"a": 1}),
    )
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [SimpleNamespace(id="c1", function=function)]},
        {"role": "assistant", "content": blocks},
    ]
    assert [(part.name, part.attributes) for part in spans_of(messages)] == [
        ("search", {"tool_input": {"q": "x"}, "call_id": "c1"}),
        ("assistant message", {"text": "hi"}),
        ("Bash", {"tool_input": {"a": 1}, "call_id": "c2"}),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"tool_calls": ["ls"]},
        {"tool_calls": {"id": 1}},
        {"tool_calls": 1},
        {"tool_calls": [{"id": "1", "function": "ls"}]},
        {"tool_calls": [{"id": [1], "function": {"name": "ls"}}]},
        {"function_call": "ls"},
        {"role": "tool", "tool_call_id": [1], "name": "ls"},
        {"role": None, "type": "reasoning", "summary": 5},
    ],
)
def test_e5_a_message_that_is_like_no_other_is_kept_whole(tmp_path: Path, more: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "hi", **more}
    logged = _logged(tmp_path, [message, {"role": "user", "content": "on"}])
    assert logged == [("attachment", "message", {"message": message}), ("user_msg", "user message", {"text": "on"})]


@pytest.mark.parametrize(
    "given,wanted",
    [('{"a": 1}', {"a": 1}), ("not json", {"input": "not json"}), ("[1]", {"input": [1]}), ("", {}), (None, {})],
)
def test_arguments_of_a_call_are_an_object(given: object, wanted: dict[str, object]) -> None:
    [part] = spans_of([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": given}}]}])
    assert part.attributes == {"tool_input": wanted}


@pytest.mark.parametrize("given", ["text", 5, {"content": "x"}, {"role": None}])
def test_what_is_no_message_is_refused(given: object) -> None:
    with pytest.raises(cm.ArgumentError, match="a message has a role"):
        list(spans_of([given]))
