"""Whatever comes in, the house answers 2xx or 4xx with a JSON reason, and goes on."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.house import TIME, House, new_run, new_trace, point, span

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(codec=None), max_size=8),
    st.sampled_from([TIME, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-W01-1", "\ud800"]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)

VALID: dict[str, dict[str, Any]] = {
    "POST /v1/traces": {
        "session_id": "s",
        "started_at": TIME,
        "scaffold": "x",
        "project": "p",
        "task_name": "t",
        "model": "m",
        "rollout_step": 1,
    },
    "POST /v1/spans": {"traces": [], "spans": [span(1, end_at=TIME, parent_span_id="p", status="ok")]},
    "POST /v1/runs": {"name": "n", "client_run_id": "c", "started_at": TIME, "config": {}, "hf_model": "m"},
    "PATCH /v1/runs/{run}": {"status": "running", "ended_at": TIME, "config_patch": {}, "hf_dataset": "d"},
    "PATCH /v1/traces/{trace}": {"outcome": "good", "metadata": {}, "task_name": "t"},
    "POST /v1/runs/{run}/metrics": {"points": [point(1)]},
    "POST /v1/runs/{run}/artifacts": {"name": "n", "kind": "json", "data": 1},
    "POST /v1/verify": {"sessions": [{"uid": "u", "segment": "s", "endpoint": "spans", "first": 1, "last": 2}]},
}


@pytest.fixture(scope="module")
def target(house: House) -> tuple[httpx.Client, dict[str, str]]:
    client = house.client()
    return client, {"run": new_run(client), "trace": new_trace(client)}


def send(target: tuple[httpx.Client, dict[str, str]], name: str, body: bytes) -> httpx.Response:
    client, ids = target
    method, path = name.format(**ids).split()
    answer = client.request(method, path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code < 500, (name, body[:200], answer.text)
    if not answer.is_success:
        assert {"reason", "message"} <= answer.json().keys()
    return answer


def mutated(body: Any, draw: st.DrawFn) -> Any:
    """`body` with a value somewhere in it replaced, removed or added."""
    if isinstance(body, dict) and body and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(body)))
        if draw(st.integers(0, 5)) == 0:
            return {key: value for key, value in body.items() if key != name}
        return {**body, name: mutated(body[name], draw)}
    if isinstance(body, list) and body and draw(st.booleans()):
        return [mutated(body[0], draw), *body[1:], *body[: draw(st.integers(0, 1))]]
    return draw(VALUES)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(VALID)))
    return name, json.dumps(mutated(VALID[name], draw)).encode()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests())
@example(("POST /v1/spans", b'{"spans":[{"attributes":1e999}]}'))
def test_no_body_makes_the_house_fail(target: tuple[httpx.Client, dict[str, str]], request_: tuple[str, bytes]) -> None:
    send(target, *request_)
    client, _ = target
    assert client.get("/v1/runs").status_code == client.get("/v1/traces").status_code == 200


DEEP = "[" * 100_000
BODIES = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b"\x00",
    b"{}x",
    DEEP.encode(),
    f'{{"spans":{DEEP}'.encode(),
    b'{"points":[{"key":"k","step":' + b"9" * 5000 + b',"value":1}]}',
    b'{"points":[NaN]}',
]


@pytest.mark.parametrize("name", sorted(VALID))
def test_no_text_makes_the_house_fail(target: tuple[httpx.Client, dict[str, str]], name: str) -> None:
    for body in BODIES:
        assert 400 <= send(target, name, body).status_code < 500


@pytest.mark.parametrize("depth", [300, 500, 900, 5000])
def test_depth_is_kept_or_refused_and_always_readable(target: tuple[httpx.Client, dict[str, str]], depth: int) -> None:
    client, ids = target
    deep = f"{'[' * depth}1{']' * depth}"
    statuses = set()
    for name, body in (
        ("POST /v1/spans", json.dumps({"spans": [span(1, attributes={"text": "@"})]})),
        ("POST /v1/runs/{run}/metrics", json.dumps({"points": [point(1, "@")]})),
        ("POST /v1/runs/{run}/artifacts", json.dumps({"name": "n", "kind": "json", "data": "@"})),
        ("PATCH /v1/runs/{run}", json.dumps({"config_patch": {"a": "@"}})),
        ("PATCH /v1/traces/{trace}", json.dumps({"metadata": {"a": "@"}})),
    ):
        statuses.add(send(target, name, body.replace('"@"', deep).encode()).status_code)
    assert statuses == ({200} if depth == 300 else {422})
    for path in (f"/v1/traces/{ids['trace']}", f"/v1/runs/{ids['run']}", f"/t/{ids['trace']}", f"/r/{ids['run']}"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "k" * 256},
        {"Idempotency-Key": "a b"},
        {"X-Tracehouse-Range": "nonsense"},
        {"X-Tracehouse-Range": "u/s:9-1"},
        {"X-Tracehouse-Range": "u/s:0-9223372036854775807"},
        {"X-Tracehouse-Range": "u/../s:1-2"},
        {"X-Tracehouse-After": "two words"},
        {"X-Tracehouse-After": "k" * 256},
        {"X-Tracehouse-Attempt": "-1"},
        {"X-Tracehouse-Attempt": "1" * 30},
        {"X-Claude-Monitor-Machine-Id": "m" * 5000},
    ],
)
def test_bad_headers_are_refused(target: tuple[httpx.Client, dict[str, str]], headers: dict[str, str]) -> None:
    client, ids = target
    answer = client.post(f"/v1/runs/{ids['run']}/metrics", json={"points": []}, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (400, "malformed")


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=x", "limit=1001", "after=-1", "after=x", "limit=99999999999999999999999", "after=²"),
        *("limit=1_0", "after=٣", "limit=000000000000000000012", "after=0000000000000000000012"),
    ],
)
def test_bad_queries_are_refused(target: tuple[httpx.Client, dict[str, str]], query: str) -> None:
    client, ids = target
    for path in ("/v1/runs", "/v1/traces", f"/v1/traces/{ids['trace']}", f"/v1/runs/{ids['run']}/media"):
        assert client.get(f"{path}?{query}").status_code == 422
    long = "9" * 20
    for name in ("buckets=0", "buckets=x", "first=x", "after=1", "after=1:2:x", f"last=-1{long}", f"after=1:2:{long}"):
        assert client.get(f"/v1/runs/{ids['run']}/metrics?{name}").status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        "",
        "key=k",
        "media_type=image",
        "key=k&media_type=text",
        "key=k&media_type=image&step=x",
        "key=&media_type=image",
    ],
)
def test_bad_media_are_refused(target: tuple[httpx.Client, dict[str, str]], query: str) -> None:
    client, ids = target
    answer = client.post(f"/v1/runs/{ids['run']}/media?{query}", content=b"x")
    assert (answer.status_code, answer.json()["reason"]) == (422, "invalid")
