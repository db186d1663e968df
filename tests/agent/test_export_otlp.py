"""OpenTelemetry export: what a collector receives, and how an endpoint that fails is met."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.agent.test_export import export
from tests.support import lanes
from tests.support.servers import Received, raw, reply, serving
from tracehoused.export.conversation import calls, parents_first


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    with cm.Run(project="bot", session_id="chat", model="claude-x", task_name="a task", spool_dir=path) as run:
        asked = run.log_user("what is here?")
        run.log_thinking("list it")
        run.log_assistant("I look.", parent_span_id=asked.id, attributes={"usage": {"input_tokens": 5}})
        call = run.log_tool_use("Bash", {"cmd": "ls"})
        run.log_tool_result("a b", tool="Bash", parent_span_id=call.id)
        with run.span("tool_use", "Read", input={"path": "a"}):
            run.log_tool_result("no such file", tool="Read", status="error")
            run.log_attachment("picture", {"size": 2**70})
        run.log_assistant("Two files. \ud800")
        run.finish(outcome="good", metadata={"score": 1})
    with cm.TrainingRun(
        project="rl", client_run_id="train", spool_dir=path, capture_env=False, system_metrics=False
    ) as training:
        for step in range(2):
            rollout = training.rollout(step=step)
            rollout.log_user("go")
            rollout.log_assistant("gone")
            rollout.finish(outcome="bad", metadata={"error": "ValueError: no"})
    return path


def requests(spool: Path, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export(str(spool), "--format", "otlp", *words).stdout.splitlines()]


def all_spans(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**span, "told": {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}}
        for body in bodies
        for resource in body["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def chat(spool: Path) -> dict[str, dict[str, Any]]:
    """The spans of the chat by name."""
    found = [span for span in all_spans(requests(spool)) if span["told"]["gen_ai.conversation.id"] == "chat"]
    return {span["name"]: span for span in found}


def test_a_collector_takes_every_line(spool: Path) -> None:
    lanes.needs_module("opentelemetry", "otlp")
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    count = 0
    for body in requests(spool):
        for resource in body["resourceSpans"]:
            for span in resource["scopeSpans"][0]["spans"]:
                # OTLP has these in hexadecimal where protobuf's own mapping has base64
                for name, size in (("traceId", 16), ("spanId", 8), ("parentSpanId", 8)):
                    if name in span:
                        digits = bytes.fromhex(span[name])
                        assert len(digits) == size
                        span[name] = base64.b64encode(digits).decode()
        parsed = json_format.ParseDict(body, ExportTraceServiceRequest(), ignore_unknown_fields=False)
        for message in parsed.resource_spans:
            for one in message.scope_spans[0].spans:
                assert one.start_time_unix_nano <= one.end_time_unix_nano
                count += 1
    assert count == len(all_spans(requests(spool)))


def test_a_turn_of_the_model_has_what_came_in_and_what_went_out(spool: Path) -> None:
    spans = all_spans(requests(spool))
    first, second = [span for span in spans if span["name"] == "chat claude-x"][:2]
    assert json.loads(first["told"]["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "what is here?"}]}
    ]
    [message] = json.loads(first["told"]["gen_ai.output.messages"])
    assert [(part["type"], part.get("content") or part.get("name")) for part in message["parts"]] == [
        ("reasoning", "list it"), ("text", "I look."), ("tool_call", "Bash"),
    ]  # fmt: skip
    assert (message["role"], message["finish_reason"]) == ("assistant", "tool_call")
    assert first["kind"] == 3
    assert first["told"]["gen_ai.request.model"] == "claude-x"
    assert first["told"]["gen_ai.provider.name"] == "anthropic"
    assert first["told"]["gen_ai.usage.input_tokens"] == "5"
    [response] = json.loads(second["told"]["gen_ai.input.messages"])
    assert response["parts"][0]["response"] == "a b"
    assert response["parts"][0]["id"] == message["parts"][2]["id"]


def test_a_call_and_its_result_are_one_span(spool: Path) -> None:
    found = chat(spool)
    bash, read = found["execute_tool Bash"], found["execute_tool Read"]
    assert bash["told"]["gen_ai.tool.name"] == "Bash"
    assert json.loads(bash["told"]["gen_ai.tool.call.arguments"]) == {"cmd": "ls"}
    assert bash["told"]["gen_ai.tool.call.result"] == "a b"
    assert int(bash["endTimeUnixNano"]) > int(bash["startTimeUnixNano"])
    assert "status" not in bash
    assert read["told"]["gen_ai.tool.call.result"] == "no such file"
    assert read["status"]["code"] == 2
    assert read["told"]["error.type"] == "_OTHER"
    assert found["attachment picture"]["parentSpanId"] == read["spanId"]
    assert found["attachment picture"]["told"]["tracehouse.size"] == str(2**70)


def test_the_root_holds_the_trace_and_every_parent_is_there(spool: Path) -> None:
    spans = all_spans(requests(spool))
    root = chat(spool)["invoke_agent python-sdk"]
    assert "parentSpanId" not in root
    assert root["told"]["tracehouse.outcome"] == "good"
    assert json.loads(root["told"]["tracehouse.metadata"]) == {"score": 1}
    assert json.loads(root["told"]["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Two files. ?"
    own = {(span["traceId"], span["spanId"]) for span in spans}
    assert len(own) == len(spans)
    assert all((span["traceId"], span["parentSpanId"]) in own for span in spans if "parentSpanId" in span)


def test_each_rollout_is_a_trace_that_names_its_run(spool: Path) -> None:
    roots = [span for span in all_spans(requests(spool)) if span["told"].get("tracehouse.run") == "train"]
    assert [root["told"]["gen_ai.conversation.id"] for root in roots] == ["train-step0", "train-step1"]
    assert len({root["traceId"] for root in roots}) == 2
    assert {root["told"]["error.type"] for root in roots} == {"ValueError"}
    assert [root["told"]["tracehouse.rollout_step"] for root in roots] == ["0", "1"]


def test_ids_are_the_same_at_every_export(spool: Path) -> None:
    assert requests(spool) == requests(spool)


def test_nothing_a_user_recorded_makes_the_export_fail(tmp_path: Path) -> None:
    with cm.Run(session_id="odd", spool_dir=tmp_path, auto_create=False) as run:
        run.push_spans(
            [
                cm.Span("a", "odd", "user_msg", "n", "no time", None, "b", {"text": {"an": ["object"]}}),
                cm.Span("b", "odd", "tool_use", "n", "", "", "a", {"tool_input": None, "result_text": [1]}),
                cm.Span("c", "elsewhere", "tool_result", "n", "1969-01-01T00:00:00Z", None, "c", {}, "error"),
                cm.Span("d", "odd", "no such kind", "n", "9999-99-99", None, "gone", {"error": {"x": 1}}, "error"),
                cm.Span(None, "odd", "thinking", None, None, None, 7, {"\ud800": "\ud800"}),  # type: ignore[arg-type]
            ]
        )
    spans = all_spans(requests(tmp_path))
    assert {span["told"]["gen_ai.conversation.id"] for span in spans} == {"odd", "elsewhere"}


def test_a_span_recorded_again_replaces_the_earlier_one(tmp_path: Path) -> None:
    at = "2026-01-01T00:00:00Z"
    with cm.Run(session_id="s", spool_dir=tmp_path) as run:
        for text in ("draft", "final"):
            run.push_spans([cm.Span("x", "s", "assistant_msg", "said", at, at, None, {"text": text})])
    [said] = [span for span in all_spans(requests(tmp_path)) if span["name"] == "chat"]
    assert "final" in said["told"]["gen_ai.output.messages"]


def test_results_find_their_calls_by_id_by_name_and_by_order() -> None:
    def span(own: str, kind: str, name: str, **attributes: Any) -> dict[str, Any]:
        return {"id": own, "kind": kind, "name": name, "attributes": attributes}

    spans = [
        span("1", "tool_use", "A"),
        span("2", "tool_use", "B", call_id="b"),
        span("3", "tool_use", "A"),
        span("r2", "tool_result", "whatever", call_id="b"),
        span("r1", "tool_result", "A"),
        span("r3", "tool_result", "tool_result"),
        span("r4", "tool_result", "A"),
    ]
    assert calls({one["id"]: one for one in spans}) == {"r2": "2", "r1": "1", "r3": "3"}


def test_a_span_comes_after_the_one_it_happened_in_even_in_a_circle() -> None:
    held = {"a": {"id": "a", "parent_span_id": "b"}, "b": {"id": "b"}, "x": {"id": "x", "parent_span_id": "y"}}
    held["y"] = {"id": "y", "parent_span_id": "x"}
    assert [one["id"] for one in parents_first(held)] == ["b", "a", "y", "x"]


def push(spool: Path, url: str, *words: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return export(str(spool), "--format", "otlp", "--endpoint", url, *words, code=code, **variables)


def test_an_endpoint_gets_the_requests_with_the_headers_and_no_identity(spool: Path) -> None:
    with serving(reply(200, b'{"partialSuccess":{}}')) as server:
        done = push(
            spool, server.url + "/v1/traces", "--header", "X-Api-Key=s=cret", OTEL_EXPORTER_OTLP_HEADERS="x-team=a%20b"
        )
        [received] = server.received
    assert (received.method, received.target) == ("POST", "/v1/traces")
    assert received.headers["content-type"] == "application/json"
    assert (received.headers["x-api-key"], received.headers["x-team"]) == ("s=cret", "a b")
    assert not any(name.startswith("x-claude") for name in received.headers)
    assert all_spans([json.loads(received.body)]) == all_spans(requests(spool))
    assert b"spans sent, 0 refused" in done.stderr


def test_a_busy_endpoint_is_asked_again_with_the_same_bytes(spool: Path) -> None:
    with serving(raw(b""), reply(503, b"busy"), reply(429, b"", "Retry-After: 0"), reply(200, b"")) as server:
        push(spool, server.url)
        bodies = {received.body for received in server.received}
        assert len(server.received) == 4
    assert len(bodies) == 1


def test_a_refused_span_does_not_keep_the_others_back(spool: Path) -> None:
    def judge(connection: Any, received: Received) -> bool:
        bad = b"execute_tool Bash" in received.body
        return (
            reply(400, b'{"message":"I do not like Bash"}')(connection, received)
            if bad
            else reply(200)(connection, received)
        )

    with serving(judge) as server:
        done = push(spool, server.url, code=1)
        taken = [
            span
            for r in server.received
            if b"execute_tool Bash" not in r.body
            for span in all_spans([json.loads(r.body)])
        ]
    assert len(taken) == len(all_spans(requests(spool))) - 1
    assert b"I do not like Bash: 1 spans" in done.stderr


def test_what_an_endpoint_says_it_dropped_is_told(spool: Path) -> None:
    answer = b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}'
    with serving(reply(200, answer)) as server:
        done = push(spool, server.url, code=1)
    assert b"2 refused" in done.stderr
    assert b"too old: 2 spans" in done.stderr


def test_a_wrong_key_stops_at_once_and_is_not_shown(spool: Path) -> None:
    with serving(reply(401, b'{"message":"bad key s3cret"}')) as server:
        done = push(spool, server.url, "--header", "authorization=s3cret", code=2)
        assert len(server.received) == 1
    assert b"401" in done.stderr
    assert b"s3cret" not in done.stderr


def test_records_do_not_go_to_other_machines_in_clear_unless_allowed(spool: Path) -> None:
    done = push(spool, "http://collector.example:4318", code=2)
    assert b"not encrypted" in done.stderr
