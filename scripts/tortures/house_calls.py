"""The house killed at its k-th system call, amid requests of every kind that changes something, one after the other.

What it is to hold after each of them is what a house holds that nobody kills: after a kill it is what was answered, with all or nothing of
the request in doubt; with that one repeated, and repeated again, it is once what follows it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx

from tests.support import oracle
from tests.support.house import TIME, House, all_points, all_spans, once, point, span
from tests.support.strace import counting, counts, killing
from tests.support.waiting import wait_until
from tortures.trial import Trial

# what a house does to its files, and to its connections
CALLS = (
    *("openat", "mkdir", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "utimensat"),
    *("recvfrom", "sendto", "accept4"),
)
_TRIES = 6  # until a point is met: which thread makes a call differs from time to time
_Held = Counter[oracle.Item]


class _Step(NamedTuple):
    """``path``: with {names} of what earlier steps made; ``makes``: such a name; ``body``: JSON, or bytes as they are."""

    method: str
    path: str
    body: Any = None
    makes: str = ""


def _steps(name: str) -> list[_Step]:
    """The life of a run with a rollout, beside that of another one, which is deleted."""
    runs = {one: {"name": one, "client_run_id": f"{name}{one}", "started_at": TIME} for one in "ab"}
    own = sha256(name.encode()).digest()  # no other story has these bytes
    rollouts = {one: {"session_id": f"{name}{one}", "started_at": TIME, "scaffold": "x"} for one in "ab"}

    def spans(one: str, *numbers: int, **fields: Any) -> dict[str, Any]:
        return {"traces": [rollouts[one]], "spans": [span(number, f"{name}{one}", **fields) for number in numbers]}

    return [
        _Step("POST", "/v1/runs", runs["a"], "run a"),
        _Step("POST", "/v1/runs", runs["b"], "run b"),
        _Step("POST", "/v1/runs", {**runs["a"], "config": {"lr": 1}}),
        *(_Step("POST", f"/v1/runs/{{run {one}}}/metrics", {"points": [point(1), point(2)]}) for one in "ab"),
        *(_Step("POST", f"/v1/runs/{{run {one}}}/media?key=k&media_type=image", own * 3000) for one in "ab"),
        _Step("POST", "/v1/runs/{run b}/media?key=own&media_type=file", own),
        *(
            _Step("POST", f"/v1/runs/{{run {one}}}/artifacts", {"name": "n", "kind": "json", "data": {}})
            for one in "ab"
        ),
        *(_Step("POST", "/v1/traces", {**rollouts[one], "rollout_step": 1}, f"trace {one}") for one in "ab"),
        *(_Step("POST", "/v1/spans", spans(one, 1, 2, 3)) for one in "ab"),
        _Step("POST", "/v1/spans", spans("a", 3, 4, attributes={"text": "later"})),
        _Step("PATCH", "/v1/traces/{trace a}", {"outcome": "good", "metadata": {"reward": 1}}),
        _Step("PATCH", "/v1/runs/{run a}", {"config_patch": {"lr": 2}}),
        _Step("DELETE", "/v1/traces/{trace b}"),
        _Step("DELETE", "/v1/runs/{run b}"),
        _Step("POST", "/v1/runs/{run a}/metrics", {"points": [point(step) for step in range(3, 50)]}),
        _Step("POST", "/v1/runs/{run a}/media?key=last&media_type=file", b"last" + own),
        _Step("PATCH", "/v1/runs/{run a}", {"status": "finished", "ended_at": TIME}),
    ]


class _Story:
    """Its steps, and the ids of what they made."""

    def __init__(self, name: str) -> None:
        self.name, self.steps = name, _steps(name)
        self._ids: dict[str, str] = {}

    def take(self, client: httpx.Client, at: int) -> None:
        """Raises TransportError where no answer comes."""
        method, path, body, makes = self.steps[at]
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **once(self.name, at + 1, at + 1)}
        answer = client.request(method, path.format(**self._ids), content=content, headers=headers)
        answer.raise_for_status()
        if makes:
            self._ids[makes] = answer.json()["id"]

    def go_on(self, client: httpx.Client, at: int = 0) -> int:
        """Take all steps from this one on; how many have been answered."""
        for done in range(at, len(self.steps)):
            try:
                self.take(client, done)
            except httpx.TransportError:
                return done
        return len(self.steps)

    def held(self, client: httpx.Client) -> _Held:
        """All that the house tells of it, the bytes of media too; names of the story itself are left out."""
        return Counter((*one[:1], one[1].removeprefix(self.name), *one[2:]) for one in self._items(client))

    def _items(self, client: httpx.Client) -> Iterator[oracle.Item]:
        for run in client.get("/v1/runs?limit=20").raise_for_status().json()["runs"]:
            if run["client_run_id"].startswith(self.name):
                yield from _of_run(client, run)
        for trace in client.get("/v1/traces?limit=20").raise_for_status().json()["traces"]:
            if trace["session_id"].startswith(self.name):
                yield from _of_trace(client, trace)
        for name, one in self._ids.items():
            if client.get(f"/v1/{name.split()[0]}s/{one}").status_code == 410:
                yield "deleted", name


def _of_run(client: httpx.Client, run: dict[str, Any]) -> Iterator[oracle.Item]:
    name, path = run["client_run_id"], f"/v1/runs/{run['id']}"
    yield "run", name, run["status"], run["ended_at"], json.dumps(run["config"], sort_keys=True)
    yield from (("point", name, *one) for one in all_points(client, run["id"]))
    for one in client.get(f"{path}/media").raise_for_status().json()["media"]:
        content = client.get(one["url"]).raise_for_status().content
        yield "media", name, one["key"], len(content), one["sha256"] == sha256(content).hexdigest()
    for one in client.get(f"{path}/artifacts").raise_for_status().json()["artifacts"]:
        yield "artifact", name, one["name"]


def _of_trace(client: httpx.Client, trace: dict[str, Any]) -> Iterator[oracle.Item]:
    name, metadata = trace["session_id"], json.dumps(trace["metadata"], sort_keys=True)
    yield "trace", name, trace["rollout_step"], trace["outcome"], metadata
    yield from (("span", name, one["id"], json.dumps(one["attributes"])) for one in all_spans(client, trace["id"]))


class Sweep:
    """``points``: (call, its number from 1 in its thread) of all that the house calls in a story."""

    def __init__(self, trial: Trial, house: House) -> None:
        self._trial, self._house = trial, house
        story = _Story(f"sweep-{trial.seed}-true-")
        with house.client() as client:
            self._true = [story.held(client)]
            for at in range(len(story.steps)):
                story.take(client, at)
                self._true.append(story.held(client))
            log = trial.home / "calls"
            with attached(house, [*counting(log, *CALLS), "-p", str(house.pid)]):
                _Story(f"sweep-{trial.seed}-counted-").go_on(client)
        self.points = _shuffled(counts(log), Random(trial.seed))
        self.killed: Counter[str] = Counter()

    def make(self, number: int, chance: Random) -> None:
        """Kill it at a call, and see what it holds."""
        for attempt in range(_TRIES):
            call, when = chance.choice(self.points) if attempt else self.points[number // 2 % len(self.points)]
            story = _Story(f"sweep-{self._trial.seed}-{number}.{attempt}-")
            with self._house.client() as client:
                with attached(self._house, [*killing(call, when), "-p", str(self._house.pid)]):
                    done = story.go_on(client)
                if done < len(story.steps):
                    wait_until(partial(_has_ended, self._house.pid), what="the end of a house that no longer answers")
            if _has_ended(self._house.pid):
                self.killed[call] += 1
                self._house.kill()
                self._house.start()
                self._check(number, f"killed at {call} {when}, {done} answered:", story, done)
                return
        self._trial.violated(number, f"not met in {_TRIES} tries")

    def _check(self, number: int, where: str, story: _Story, done: int) -> None:
        following = min(done + 1, len(story.steps))
        with self._house.client() as client:
            self._judge(number, where, story.held(client), done, following)
            if following > done:
                for _ in range(2):
                    story.take(client, done)
                    self._judge(number, f"{where} repeated,", story.held(client), following)
            self._trial.require(story.go_on(client, following) == len(story.steps), number, f"{where} no answer later")
            self._judge(number, f"{where} to its end,", story.held(client), len(story.steps))

    def _judge(self, number: int, where: str, held: _Held, *allowed: int) -> None:
        """``allowed``: how many steps it may hold, each of them wholly or not at all."""
        states = [self._true[at] for at in allowed]
        done = {item for item in states[0] if all(item in state for state in states)}
        account = oracle.Account(begun={item for state in states for item in state}, done=done)
        self._trial.add(number, oracle.judge(account, held), where)
        self._trial.require(held in states, number, f"{where} it holds what no number of requests leaves: {held}")


def _shuffled(most: dict[str, int], chance: Random) -> list[tuple[str, int]]:
    """A call of each kind, another one of each, and so on."""
    orders = {call: chance.sample(range(1, count + 1), count) for call, count in sorted(most.items())}
    return sorted(
        ((call, number) for call, order in orders.items() for number in order),
        key=lambda one: (orders[one[0]].index(one[1]), one[0]),
    )


@contextmanager
def attached(house: House, strace: list[str]) -> Iterator[None]:
    """While strace is at all threads of the house. It is killed, which lets them go: after the end of one it may wait for ever."""
    pid = house.pid
    tracer = subprocess.Popen(strace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(partial(_is_traced, pid), what="strace at the house")
        yield
    finally:
        tracer.kill()
        tracer.wait(60)


def _is_traced(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    return all("TracerPid:\t0\n" not in status.read_text() for status in threads)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
