"""A4: whatever request a server answered with 5xx and Retry-After, the session is not tried again before that is over."""

from __future__ import annotations

import socket
from pathlib import Path
from random import Random

import pytest

from tests.support.segments import header, line, manifest, metrics, session, span
from tests.support.servers import Received, Server, reply
from tracehoused.config import resolve
from tracehoused.options import Options
from tracehoused.service.tracked import Tracked
from tracehoused.upload.engine import Engine
from tracehoused.upload.uploader import Outcome

_START = {"started_at": "2026-01-02T03:04:05Z"}
_RECORDS = [
    ("run", {"name": "r", "client_run_id": "r", **_START}),
    ("trace", {"session_id": "s", **_START}),
    ("metrics", metrics(1, loss=0.5)),
    ("span", span(1, "s")),
    ("run_patch", {"client_run_id": "r", "fields": {"notes": "n"}}),
    ("trace_patch", {"session_id": "s", "fields": {"reward": 1.0}}),
]


class Busy:
    """Answers 503 with a Retry-After to requests with this in them, and takes the others. ``many``: takes many traces in a request."""

    def __init__(self, busy: str, *, many: bool = False) -> None:
        self._busy = busy
        self._many = many
        self.asked: list[str] = []

    def __call__(self, connection: socket.socket, received: Received) -> bool:
        target = f"{received.method} {received.target}"
        self.asked.append(target)
        if received.method == "GET":
            told = reply(200, b'{"trace_batch":10}') if self._many else reply(404)
        elif self._busy in f"{target} {received.body.decode()}":
            told = reply(503, b"{}", "Retry-After: 300")
        elif received.target.endswith("/metrics"):
            told = reply(200, b'{"ingested":1,"dropped":0}')
        else:
            told = reply(200, b'{"id":"i1","created":false}')
        return told(connection, received)


def _drained(home: Path, server: Server) -> Outcome:
    of = manifest("run", api_base=server.url)
    lines = [line(1, "segment", header(of)), *(line(2 + n, *one) for n, one in enumerate(_RECORDS))]
    directory = session(home / "spool", of, lines)
    environ = {
        "TRACEHOUSE_API_KEY": "ba_0123456789abcdef0123456789abcdef",
        "TRACEHOUSE_STATE_DIR": str(home / "state"),
        "TRACEHOUSE_CONFIG_DIR": str(home / "config"),
        "HOME": str(home),
    }
    engine = Engine(resolve(environ=environ), environ, Options(api_base=server.url))
    try:
        return engine.drain(str(directory)).outcome
    finally:
        engine.close()
        server.stop()


@pytest.mark.parametrize(
    "busy", ["POST /v1/runs/i1/metrics", "POST /v1/spans", "POST /v1/traces", "PATCH /v1/runs", "PATCH /v1/traces"]
)
def test_a4_retry_after_is_a_floor_whichever_request_had_it(busy: str, tmp_path: Path) -> None:
    kept = Busy(busy)
    outcome = _drained(tmp_path, Server([kept]))
    assert sum(asked.startswith(busy) for asked in kept.asked) == 1, kept.asked
    assert (outcome.complete, outcome.scope, outcome.retry_after) == (False, "session", 300.0)
    assert Tracked("x", 0.0).wait(Random(0), outcome.retry_after) >= 300.0


@pytest.mark.parametrize(
    "busy, otherwise", [('"traces":[{', "POST /v1/traces"), ('"patches":[{', "PATCH /v1/traces/i1")]
)
def test_a4_of_many_that_are_to_wait_none_is_sent_alone_at_once(busy: str, otherwise: str, tmp_path: Path) -> None:
    kept = Busy(busy, many=True)
    outcome = _drained(tmp_path, Server([kept]))
    assert (outcome.complete, outcome.scope, outcome.retry_after) == (False, "session", 300.0)
    assert otherwise not in kept.asked
