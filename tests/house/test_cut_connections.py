"""A connection that was cut without a word, as a laptop's that went to sleep: the body of its request never comes, and it never ends."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.house import House, all_spans, new_run, new_trace, once, span


def _batch(number: int, **headers: str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"traces": [], "spans": [span(number)]}).encode("ascii")
    return body, {**once("cut", number, number, key=f"cut-{number}"), "Content-Type": "application/json", **headers}


@contextmanager
def _cut(house: House, client: httpx.Client, path: str, body: bytes, headers: dict[str, str]) -> Iterator[None]:
    """A request that the house has begun to read, and of which it gets no more than the head."""
    always = {"Host": "127.0.0.1", "Expect": "100-continue", "Content-Length": str(len(body))}
    who = {name: client.headers[name] for name in ("authorization", "x-claude-monitor-machine-id")}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**always, **who, **headers}.items())]
    with socket.create_connection(("127.0.0.1", house.port), 30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        yield


def test_a1_a_batch_whose_connection_was_cut_is_taken_when_it_comes_again(house: House, client: httpx.Client) -> None:
    trace_id = new_trace(client)
    body, headers = _batch(1)
    following, behind = _batch(2, **{"X-Tracehouse-After": "cut-1"})
    with _cut(house, client, "/v1/spans", body, headers):
        assert client.post("/v1/spans", content=body, headers=headers).json()["ingested"] == 1
        assert client.post("/v1/spans", content=following, headers=behind).json()["ingested"] == 1
        assert [one["id"] for one in all_spans(client, trace_id)] == ["span-1", "span-2"]


def test_a1_a_medium_whose_connection_was_cut_is_taken_when_it_comes_again(house: House, client: httpx.Client) -> None:
    path = f"/v1/runs/{new_run(client)}/media"
    asked, headers = f"{path}?key=k&media_type=image", once("cut", 9, 9)
    with _cut(house, client, asked, b"picture", headers):
        assert client.post(asked, content=b"picture", headers=headers).status_code == 200
    assert len(client.get(path).json()["media"]) == 1
