"""A request that comes a thousand times, many at once, has one effect."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from queue import SimpleQueue
from threading import Lock
from typing import NamedTuple

import httpx

from tests.support import oracle
from tests.support.house import TIME, House, all_points, all_spans, new_run, new_trace, once, point, span
from tortures import places
from tortures.trial import Trial

TITLE = "the same request 1,000 times, 20 at once"
COUNT = 10  # one of each kind
_TIMES = 1000
_AT_ONCE = 20
_EARLIER, _LATER = {"lr": 1}, {"lr": 2}


_Counted = Callable[[], int]


class _Answer(NamedTuple):
    status: int
    text: str

    @property
    def is_success(self) -> bool:
        return self.status == 200


class _Lines:
    """Connections, each used by one thread at a time, that cost so little that it is the house that is busy."""

    def __init__(self, house: House) -> None:
        self._all = [HTTPConnection("127.0.0.1", house.port) for _ in range(_AT_ONCE)]
        self._free: SimpleQueue[HTTPConnection] = SimpleQueue()
        for line in self._all:
            self._free.put(line)

    def send(self, request: httpx.Request) -> _Answer:
        line = self._free.get()
        line.request(request.method, request.url.raw_path.decode(), request.content, dict(request.headers))
        with line.getresponse() as answer:
            told = _Answer(answer.status, answer.read().decode())
        self._free.put(line)
        return told

    def close(self) -> None:
        for line in self._all:
            line.close()


def run(trial: Trial) -> None:
    with places.a_house(trial) as house:
        for number, _ in trial.points():
            with house.client() as client, closing(_Lines(house)) as lines, ThreadPoolExecutor(_AT_ONCE) as threads:
                kind = list(_KINDS)[number % len(_KINDS)]
                request, held = _KINDS[kind](client, number)
                send = partial(lines.send, request)
                if kind in _UNDONE:
                    send = partial(_send_before_another, send, partial(_UNDONE[kind], client, request), Lock())
                answers = list(threads.map(lambda _, send=send: send(), range(_TIMES)))
                _check(trial, number, kind, answers, held())


def _send_before_another(send: Callable[[], _Answer], another: Callable[[], None], later: Lock) -> _Answer:
    """Once it was answered another one changes the same: what still comes of the first must not undo that."""
    answer = send()
    if answer.is_success and later.acquire(blocking=False):
        another()
    return answer


def _patch_again(client: httpx.Client, request: httpx.Request) -> None:
    [field] = json.loads(request.content)
    client.patch(request.url, json={field: _LATER}).raise_for_status()


def _bring_back(client: httpx.Client, request: httpx.Request) -> None:
    """As a user does, from the page of what was deleted."""
    _, kind, name = request.url.path.strip("/").split("/")
    house, key = f"{client.base_url}".rstrip("/"), client.headers["Authorization"].removeprefix("Bearer ")
    with httpx.Client(base_url=house, headers={"Origin": house}, timeout=60) as browser:
        assert browser.post("/signin", data={"key": key}).status_code == 200
        assert browser.post("/restore", data={"kind": kind.removesuffix("s"), "id": name}).status_code == 303


def _check(trial: Trial, number: int, kind: str, answers: list[_Answer], held: int) -> None:
    told = Counter((answer.status, json.loads(answer.text).get("reason")) for answer in answers)
    may_be = {(409, "in_flight"), *([_DELETED] if kind in _BY_ID_ALONE else [])}
    others = {one: count for one, count in told.items() if one[0] != 200 and one not in may_be}
    trial.require(not others, number, f"{kind}: answers {others}")
    trial.require(any(answer.is_success for answer in answers), number, f"{kind}: no answer was a 200")
    if kind in _BY_ID_ALONE:
        trial.require(told[_DELETED] == len(answers) - 1, number, f"{kind}: answers {told}")
    bodies = {answer.text.replace('"created":true', '"created":false') for answer in answers if answer.is_success}
    trial.require(len(bodies) == 1, number, f"{kind}: different answers: {sorted(bodies)[:3]}")
    items = Counter({(kind,): held} if held else {})
    trial.add(number, oracle.judge(oracle.Account({(kind,)}, {(kind,)}), items), f"{kind}:")


_Made = tuple[httpx.Request, _Counted]


def _points(client: httpx.Client, number: int) -> _Made:
    run_id = new_run(client, f"repeat-{number}")
    body, headers = {"points": [point(1)]}, once(f"points-{number}", 1, 1)
    request = client.build_request("POST", f"/v1/runs/{run_id}/metrics", json=body, headers=headers)
    return request, lambda: len(all_points(client, run_id))


def _spans(client: httpx.Client, number: int) -> _Made:
    name = f"repeat-{number}"
    trace_id = new_trace(client, name)
    body, headers = {"traces": [], "spans": [span(1, name)]}, once(f"spans-{number}", 1, 1)
    return client.build_request("POST", "/v1/spans", json=body, headers=headers), lambda: len(
        all_spans(client, trace_id)
    )


def _media(client: httpx.Client, number: int) -> _Made:
    run_id = new_run(client, f"repeat-{number}")
    path, params = f"/v1/runs/{run_id}/media", {"key": "image", "media_type": "image"}
    headers = once(f"media-{number}", 1, 1)
    return (
        client.build_request("POST", path, params=params, content=b"picture", headers=headers),
        lambda: len(client.get(path).json()["media"]),
    )


def _artifacts(client: httpx.Client, number: int) -> _Made:
    path = f"/v1/runs/{new_run(client, f'repeat-{number}')}/artifacts"
    body, headers = {"name": "n", "kind": "text", "data": "x"}, once(f"artifact-{number}", 1, 1)
    request = client.build_request("POST", path, json=body, headers=headers)
    return request, lambda: len(client.get(path).json()["artifacts"])


def _runs(client: httpx.Client, number: int) -> _Made:
    """Made by its id alone, without a key."""
    name = f"repeat-new-{number}"
    body = {"name": name, "client_run_id": name, "started_at": TIME}

    def held() -> int:
        return sum(one["client_run_id"] == name for one in client.get("/v1/runs?limit=1000").json()["runs"])

    return client.build_request("POST", "/v1/runs", json=body), held


def _traces(client: httpx.Client, number: int) -> _Made:
    """Likewise."""
    name = f"repeat-new-{number}"
    body = {"session_id": name, "started_at": TIME, "scaffold": "x"}

    def held() -> int:
        return sum(one["session_id"] == name for one in client.get("/v1/traces?limit=1000").json()["traces"])

    return client.build_request("POST", "/v1/traces", json=body), held


def _run_patches(client: httpx.Client, number: int) -> _Made:
    path = f"/v1/runs/{new_run(client, f'repeat-{number}')}"
    return _patches(client, number, path, "config_patch"), lambda: int(client.get(path).json()["config"] == _LATER)


def _trace_patches(client: httpx.Client, number: int) -> _Made:
    path = f"/v1/traces/{new_trace(client, f'repeat-{number}')}"
    return _patches(client, number, path, "metadata"), lambda: int(client.get(path).json()["metadata"] == _LATER)


def _patches(client: httpx.Client, number: int, path: str, field: str) -> httpx.Request:
    return client.build_request("PATCH", path, json={field: _EARLIER}, headers=once(f"{field}-{number}", 1, 1))


def _run_deletions(client: httpx.Client, number: int) -> _Made:
    """By its id alone, without a key: there is nothing to tell a repeat by, but that it is gone."""
    path = f"/v1/runs/{new_run(client, f'repeat-{number}')}"
    return client.build_request("DELETE", path), lambda: int(client.get(path).status_code == 410)


def _trace_deletions(client: httpx.Client, number: int) -> _Made:
    path = f"/v1/traces/{new_trace(client, f'repeat-{number}')}"
    headers = {"Idempotency-Key": f"deletion-{number}"}
    # it was brought back, and stays
    return client.build_request("DELETE", path, headers=headers), lambda: int(client.get(path).status_code == 200)


_KINDS = {
    "points": _points,
    "spans": _spans,
    "media": _media,
    "artifact": _artifacts,
    "run": _runs,
    "trace": _traces,
    "patch of a run": _run_patches,
    "patch of a trace": _trace_patches,
    "deletion of a run": _run_deletions,
    "deletion of a trace": _trace_deletions,
}
# what is done once it has been answered
_UNDONE = {
    "patch of a run": _patch_again,
    "patch of a trace": _patch_again,
    "deletion of a trace": _bring_back,
}
_BY_ID_ALONE = ("deletion of a run",)
_DELETED = (410, "deleted")
