"""A request that comes a thousand times, many at once, has one effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import httpx

from tests.support import oracle
from tests.support.house import TIME, all_points, all_spans, new_run, new_trace, once, point, post, span
from tortures import places
from tortures.trial import Trial

TITLE = "the same request 1,000 times, 20 at once"
COUNT = 8  # one of each kind
_TIMES = 1000
_AT_ONCE = 20
_EARLIER, _LATER = {"lr": 1}, {"lr": 2}


def run(trial: Trial, times: int = _TIMES) -> None:
    with places.a_house(trial) as house:
        for number, _ in trial.points():
            with house.client() as client, ThreadPoolExecutor(_AT_ONCE) as threads:
                kind = list(_KINDS)[number % len(_KINDS)]
                send, held = _KINDS[kind](client, number)
                answers = list(threads.map(lambda _, send=send: send(), range(times)))
                _check(trial, number, kind, answers, held())


def _check(trial: Trial, number: int, kind: str, answers: list[httpx.Response], held: int) -> None:
    told = Counter((answer.status_code, answer.json().get("reason")) for answer in answers)
    others = {one: count for one, count in told.items() if one[0] != 200 and one != (409, "in_flight")}
    trial.require(not others, number, f"{kind}: answers {others}")
    trial.require(any(answer.is_success for answer in answers), number, f"{kind}: no answer was a 200")
    bodies = {answer.text.replace('"created":true', '"created":false') for answer in answers if answer.is_success}
    trial.require(len(bodies) == 1, number, f"{kind}: different answers: {sorted(bodies)[:3]}")
    items = Counter({(kind,): held} if held else {})
    trial.add(number, oracle.judge(oracle.Account({(kind,)}, {(kind,)}), items), f"{kind}:")


_Sender = Callable[[], httpx.Response]
_Counted = Callable[[], int]


def _points(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    run_id = new_run(client, f"repeat-{number}")
    body, headers = {"points": [point(1)]}, once(f"points-{number}", 1, 1)
    return lambda: post(client, f"/v1/runs/{run_id}/metrics", body, **headers), lambda: len(all_points(client, run_id))


def _spans(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    name = f"repeat-{number}"
    trace_id = new_trace(client, name)
    body, headers = {"traces": [], "spans": [span(1, name)]}, once(f"spans-{number}", 1, 1)
    return lambda: post(client, "/v1/spans", body, **headers), lambda: len(all_spans(client, trace_id))


def _media(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    run_id = new_run(client, f"repeat-{number}")
    path, params = f"/v1/runs/{run_id}/media", {"key": "image", "media_type": "image"}
    headers = once(f"media-{number}", 1, 1)
    return (
        lambda: client.post(path, params=params, content=b"picture", headers=headers),
        lambda: len(client.get(path).json()["media"]),
    )


def _artifacts(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    path = f"/v1/runs/{new_run(client, f'repeat-{number}')}/artifacts"
    body, headers = {"name": "n", "kind": "text", "data": "x"}, once(f"artifact-{number}", 1, 1)
    return lambda: post(client, path, body, **headers), lambda: len(client.get(path).json()["artifacts"])


def _runs(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    """Made by its id alone, without a key."""
    name = f"repeat-new-{number}"
    body = {"name": name, "client_run_id": name, "started_at": TIME}

    def held() -> int:
        return sum(one["client_run_id"] == name for one in client.get("/v1/runs?limit=1000").json()["runs"])

    return lambda: post(client, "/v1/runs", body), held


def _traces(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    """Likewise."""
    name = f"repeat-new-{number}"
    body = {"session_id": name, "started_at": TIME, "scaffold": "x"}

    def held() -> int:
        return sum(one["session_id"] == name for one in client.get("/v1/traces?limit=1000").json()["traces"])

    return lambda: post(client, "/v1/traces", body), held


def _run_patches(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    path = f"/v1/runs/{new_run(client, f'repeat-{number}')}"
    return _patches(client, number, path, "config_patch"), lambda: int(client.get(path).json()["config"] == _LATER)


def _trace_patches(client: httpx.Client, number: int) -> tuple[_Sender, _Counted]:
    path = f"/v1/traces/{new_trace(client, f'repeat-{number}')}"
    return _patches(client, number, path, "metadata"), lambda: int(client.get(path).json()["metadata"] == _LATER)


def _patches(client: httpx.Client, number: int, path: str, field: str) -> _Sender:
    """Once it was answered another one changes the same: what still comes of the first must not undo that."""
    headers, later = once(f"{field}-{number}", 1, 1), Lock()

    def send() -> httpx.Response:
        answer = client.patch(path, json={field: _EARLIER}, headers=headers)
        if answer.is_success and later.acquire(blocking=False):
            client.patch(path, json={field: _LATER}).raise_for_status()
        return answer

    return send


_KINDS = {
    "points": _points,
    "spans": _spans,
    "media": _media,
    "artifact": _artifacts,
    "run": _runs,
    "trace": _traces,
    "patch of a run": _run_patches,
    "patch of a trace": _trace_patches,
}
