"""A1, A13: reading and journalling ahead changes neither what is durable before a request nor the order of the spans."""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.support.segments import header, line, manifest, session, span
from tests.support.servers import Behaviour, Received, Server, reply
from tracehoused.config import resolve
from tracehoused.options import Options
from tracehoused.upload import rounds
from tracehoused.upload.engine import Engine

COUNT = 60
_RANGE = re.compile(r".*:([0-9]+)-([0-9]+)")


class Kept:
    """Spans in the order of their acceptance; at each request for them, what the journal held. ``refused``: ordinals that get a 503.
    ``ordered``: it heeds X-Tracehouse-After, and answers the first request when it has a second one; ``after``: what was asked so, and
    whether it was granted."""

    def __init__(self, spool: Path, refused: tuple[int, ...] = (), *, ordered: bool = False) -> None:
        self.ordered = ordered
        self.after: list[bool] = []
        self._accepted: set[str] = set()
        self._arrivals = itertools.count()
        self._has_second = threading.Event()
        self._lock = threading.Lock()
        self.texts: list[str] = []
        self.requests: list[tuple[tuple[int, int], set[tuple[int, int]]]] = []
        self._spool = spool
        self._refused = refused

    def __call__(self, connection: socket.socket, received: Received) -> bool:
        if self.ordered and received.target == "/v1/spans":
            if next(self._arrivals) == 0:
                self._has_second.wait(60)
            self._has_second.set()
        with self._lock:
            return self._answer(received)(connection, received)

    def _answer(self, received: Received) -> Behaviour:
        if received.method == "GET":
            return reply(200, b'{"after":true}') if self.ordered else reply(404)
        if received.target != "/v1/spans":
            return reply(200, b'{"id":"t1","created":true}')
        found = _RANGE.fullmatch(received.headers["x-tracehouse-range"])
        assert found is not None
        self.requests.append(((int(found[1]), int(found[2])), self._journalled()))
        after = received.headers.get("x-tracehouse-after")
        if after is not None:
            self.after.append(after in self._accepted)
        if len(self.requests) in self._refused:
            return reply(503)
        if after is not None and after not in self._accepted:
            return reply(425, b'{"reason":"after"}')
        self._accepted.add(received.headers["idempotency-key"])
        self.texts += [each["attributes"]["text"] for each in json.loads(received.body)["spans"]]
        return reply(200)

    def _journalled(self) -> set[tuple[int, int]]:
        lines = [one for path in self._spool.glob("*/upload/*/journal.jsonl") for one in path.read_text().splitlines()]
        entries = [json.loads(one[9:]) for one in lines]
        return {(entry["bounds"][5], entry["bounds"][6]) for entry in entries if entry["op"] == "batch"}


@pytest.fixture(autouse=True)
def small_rounds() -> Iterator[None]:
    with patch.object(rounds, "ROUND_BYTES", 2000):
        yield


def drained(home: Path, kept: Kept, passes: int) -> list[bool]:
    """Whether each pass over a trace of ``COUNT`` spans was complete."""
    server = Server([kept])
    of = manifest("trace", api_base=server.url)
    lines = [
        line(1, "segment", header(of)),
        line(2, "trace", {"session_id": "r", "started_at": "2026-01-02T03:04:05Z"}),
    ]
    lines += [line(3 + number, "span", span(number)) for number in range(COUNT)]
    directory = session(home / "spool", of, lines)
    environ = {
        "TRACEHOUSE_API_KEY": "ba_0123456789abcdef0123456789abcdef",
        "TRACEHOUSE_API_BASE": server.url,
        "TRACEHOUSE_STATE_DIR": str(home / "state"),
        "TRACEHOUSE_CONFIG_DIR": str(home / "config"),
        "TRACEHOUSE_BATCH_SPANS": "5",
        "HOME": str(home),
    }
    engine = Engine(resolve(environ=environ), environ, Options(api_base=server.url))
    try:
        return [engine.drain(str(directory)).outcome.complete for _ in range(passes)]
    finally:
        engine.close()
        server.stop()


def test_a1_bounds_are_durable_before_they_are_sent_and_known_ahead(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "spool")
    assert drained(tmp_path, kept, 1) == [True]
    assert kept.texts == [f"text {number}" for number in range(COUNT)]
    assert all(bounds in journalled for bounds, journalled in kept.requests)
    ahead = [any(first > bounds[1] + 10 for first, _ in journalled) for bounds, journalled in kept.requests]
    assert any(ahead), "the next round's are written while this one is sent"


@pytest.mark.parametrize("refused", [2, 3, 5, 6, 7])
def test_a13_no_span_overtakes_one_that_is_left_for_later(tmp_path: Path, refused: int) -> None:
    kept = Kept(tmp_path / "spool", (refused,))
    assert drained(tmp_path, kept, 2) == [False, True]
    assert kept.texts == [f"text {number}" for number in range(COUNT)]


@pytest.mark.parametrize("refused", [(), (1,), (2,), (3,), (5, 6), (7, 9, 12)])
def test_a13_requests_beside_one_another_keep_the_order_where_the_server_sees_to_it(
    tmp_path: Path, refused: tuple[int, ...]
) -> None:
    kept = Kept(tmp_path / "spool", refused, ordered=True)
    passes = drained(tmp_path, kept, 1 + len(refused))
    assert passes[-1]
    assert kept.texts == [f"text {number}" for number in range(COUNT)]
    assert all(bounds in journalled for bounds, journalled in kept.requests)
    assert kept.after, "some were sent before the answer to those before them"


def test_a13_only_a_server_that_sees_to_the_order_is_sent_spans_beside_others(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "spool")
    assert drained(tmp_path, kept, 1) == [True]
    assert kept.after == []
