"""A real house in a process of its own, to start, kill and start again on the same data and port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support import ready
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TIME = "2026-01-02T03:04:05.000006Z"


class House:
    """`data`: its directory, which outlives the process. `options`: further words of `tracehouse serve`."""

    def __init__(self, data: Path, *options: str, python: str = sys.executable) -> None:
        self.data = data
        self.options = options
        self.port = 0
        self._python = python
        self._output = data.with_name(data.name + ".log")
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> House:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> House:
        """Start it, on the port it had before if there was one, and wait until it answers."""
        words = ["--port", str(self.port), "--data", str(self.data), *self.options]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(self._output, "wb") as output:
            self._process = ready.begin(ready.HOUSE, words, environ, stdout=output, stderr=output, python=self._python)
        match = wait_until(self._listening, what=lambda: f"house listening; it said: {self.output()}")
        assert match is not True, f"the house ended: {self.output()}"
        self.port = int(re.findall(r"listening on http://\S+:(\d+)", self.output())[-1])
        return self

    def _listening(self) -> object:
        found = re.search(r"^house: listening on \S+\n", self.output(), re.MULTILINE)
        return found or (self._process is not None and self._process.poll() is not None)

    def kill(self) -> None:
        """SIGKILL: nothing more is written."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM: what it is handling is finished; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._process = None
        return code

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.data / "house.key").read_text(encoding="ascii").strip()

    def client(self, machine: str = "machine-1", **headers: str) -> httpx.Client:
        """A client with the house's key. Close it, or use it as a context manager."""
        always = {"Authorization": f"Bearer {self.key}", "X-Claude-Monitor-Machine-Id": machine}
        return httpx.Client(base_url=self.url, headers={**always, **headers}, timeout=60)


def once(
    uid: str, first: int, last: int, *, segment: str = "0a1b-1", key: str = "", attempt: int = 0
) -> dict[str, str]:
    """The headers of a batch that holds the records first..last of a segment."""
    key = key or f"{uid}/{segment}:{first}-{last}"
    held = f"{uid}/{segment}:{first}-{last}"
    return {"Idempotency-Key": key, "X-Tracehouse-Range": held, "X-Tracehouse-Attempt": str(attempt)}


def post(client: httpx.Client, path: str, body: Any, **headers: str) -> httpx.Response:
    """POST as ASCII JSON, which holds any text; header names with _ for -."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=json.dumps(body), headers={"content-type": "application/json", **names})


def new_run(client: httpx.Client, client_run_id: str = "run-1", **fields: Any) -> str:
    """The server's id of a run made now, or made earlier."""
    body = {"name": client_run_id, "client_run_id": client_run_id, "started_at": TIME, **fields}
    answer = post(client, "/v1/runs", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def new_trace(client: httpx.Client, session_id: str = "session-1", **fields: Any) -> str:
    body = {"session_id": session_id, "started_at": TIME, "scaffold": "python-sdk", **fields}
    answer = post(client, "/v1/traces", body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def span(number: int, session_id: str = "session-1", **fields: Any) -> dict[str, Any]:
    """A span of a conversation; its id tells its number."""
    known = {"id": f"span-{number}", "session_id": session_id, "kind": "user_msg", "name": "user message"}
    return {**known, "start_at": TIME, "attributes": {"text": f"text {number}"}, **fields}


def point(step: int, value: Any = 1.5, key: str = "loss") -> dict[str, Any]:
    return {"key": key, "step": step, "value": value, "wall_time": TIME}


def all_spans(client: httpx.Client, trace_id: str) -> list[dict[str, Any]]:
    """Every span of a trace, in the order of the conversation."""
    spans: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        answer = client.get(f"/v1/traces/{trace_id}", params={"after": after, "limit": 1000})
        assert answer.status_code == 200, answer.text
        spans += answer.json()["spans"]
        after = answer.json()["next"]
    return spans


def all_points(client: httpx.Client, run_id: str, key: str | None = None) -> list[tuple[Any, ...]]:
    """Every point of a run as (key, attempt, writer, step, value, time), by series and step."""
    points: list[tuple[Any, ...]] = []
    params: dict[str, Any] = {"limit": 100_000, **({} if key is None else {"key": key})}
    while True:
        answer = client.get(f"/v1/runs/{run_id}/metrics", params=params)
        assert answer.status_code == 200, answer.text
        for series in answer.json()["series"]:
            points += [(series["key"], series["attempt"], series["writer"], *point) for point in series["points"]]
        params["after"] = answer.json()["next"]
        if params["after"] is None:
            return points
