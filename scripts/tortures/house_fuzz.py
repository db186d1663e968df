"""Malformed requests on every route of the house: no 5xx, and none that is refused changes anything."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from copy import deepcopy
from typing import Any

import httpx

from tests.support import oracle
from tests.support.house import TIME, House, new_run, new_trace, point, post, span
from tortures import places
from tortures.trial import Trial
from tracehoused.house.app import api_routes

TITLE = "malformed requests on every route of the house"
COUNT = 10_000
_JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    1e308,
    "",
    "\ud800",
    "\0",
    "x" * 5000,
    "../../etc/passwd",
    "<script>",
    [],
    [[]],
    {},
    {"": {}},
    [None, {}, "x"],
    TIME,
    "9999-99-99",
)
_RAW = (
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"nul",
    b'{"a":1}{"a":2}',
    b"[" * 5000,
    b'{"spans":' * 500,
    b"1e999999",
    b'"' + b"\\u0000" * 50 + b'"',
)
_HEADERS: tuple[tuple[str, bytes], ...] = (
    ("Idempotency-Key", b"\xff\xfe"),
    ("Idempotency-Key", b"k" * 5000),
    ("X-Tracehouse-Range", b"u/s:9-1"),
    ("X-Tracehouse-Range", b"../../x:1-2"),
    ("X-Tracehouse-Range", b"u/s:1-99999999999999999999999"),
    ("X-Tracehouse-Attempt", b"-1"),
    ("X-Claude-Monitor-Machine-Id", b"%ZZ" * 2000),
    ("Content-Type", b"text/html"),
    ("Authorization", b"Bearer wrong"),
    ("Authorization", b"\xff"),
    ("Host", b"evil.example"),
    ("Range", b"bytes=9-1"),
)
_QUERIES = (
    "limit=0",
    "limit=x",
    "after=-1",
    "after=%00",
    "key=%ff",
    "buckets=-3",
    "media_type=x&key=",
    "media_type=image&key=k",
    "media_type=image&key=k&step=-1",
    "step=1e9",
    "a" * 3000,
)
_BODIES: dict[str, dict[str, Any]] = {
    "/v1/traces": {"session_id": "s", "started_at": TIME, "scaffold": "x", "rollout_step": 1},
    "/v1/spans": {"traces": [], "spans": [span(1, end_at=TIME)]},
    "/v1/runs": {"name": "n", "client_run_id": "c", "started_at": TIME, "config": {}},
    "/v1/runs/{id}": {"status": "running", "ended_at": TIME, "config_patch": {}},
    "/v1/traces/{id}": {"outcome": "good", "metadata": {}},
    "/v1/runs/{id}/metrics": {"points": [point(1)]},
    "/v1/runs/{id}/artifacts": {"name": "n", "kind": "json", "data": 1},
    "/v1/verify": {"sessions": [{"uid": "u", "segment": "s", "endpoint": "spans", "first": 1, "last": 2}]},
}


def run(trial: Trial) -> None:
    with places.a_house(trial) as house, house.client() as client:
        ids = [
            new_run(client),
            new_trace(client),
            "nobody",
            "..",
            "%2e%2e%2f",
            "\ud800".encode("utf-8", "replace").decode(),
        ]
        post(client, f"/v1/runs/{ids[0]}/metrics", {"points": [point(step) for step in range(50)]})
        watch = _Watch(house)
        answers: Counter[int] = Counter()
        for number, chance in trial.points():
            request = _request(client, chance, ids)
            answers[_send(trial, number, client, request, watch)] += 1
        trial.require(client.get("/v1/runs").status_code == 200, trial.made, "the house no longer answers")
        trial.notes.append(", ".join(f"{count} × {code}" for code, count in sorted(answers.items())))


class _Watch:
    """Whether the house's database or its media were changed since ``renew``. Which agents were seen last is written whatever came:
    that is aside."""

    def __init__(self, house: House) -> None:
        address = f"file:{house.data / 'house.db'}?mode=ro"
        self._media = house.data / "media"
        self._before, self._now = (sqlite3.connect(address, uri=True, isolation_level=None) for _ in range(2))
        self.renew()

    def renew(self) -> None:
        """What is there now is what it is compared with: held as it is, in a transaction that reads."""
        if self._before.in_transaction:
            self._before.execute("ROLLBACK")
        self._before.execute("BEGIN")
        self._seen, self._files = self._version(), self._kept()
        _tables(self._before)

    def changed(self) -> bool:
        kept = self._kept() == self._files
        if kept and self._version() == self._seen:
            return False
        differ = not kept or _content(self._before) != _content(self._now)
        self.renew()
        return differ

    def _kept(self) -> set[tuple[str, int]]:
        """Media, also such as arrive, by path and size."""
        return {(str(path), path.stat().st_size) for path in self._media.rglob("*") if path.is_file()}

    def _version(self) -> int:
        return int(self._now.execute("PRAGMA data_version").fetchone()[0])


def _tables(database: sqlite3.Connection) -> list[str]:
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in names if name != "agents"]


def _content(database: sqlite3.Connection) -> dict[str, list[Any]]:
    # the names are the database's own
    return {name: list(database.execute(f'SELECT * FROM "{name}"')) for name in _tables(database)}  # noqa: S608


def _request(client: httpx.Client, chance: random.Random, ids: list[str]) -> httpx.Request:
    route = chance.choice(api_routes())
    methods = sorted(route.methods or {"GET"}) + ["PUT", "DELETE"] * (chance.random() < 0.05)
    path = route.path.replace("{id}", chance.choice(ids)).replace("{name}", chance.choice(["../x", "0" * 64, "%00"]))
    query = f"?{chance.choice(_QUERIES)}" if chance.random() < 0.3 else ""
    headers = [(name, value) for name, value in _HEADERS if chance.random() < 0.06]
    method = chance.choice(methods)
    body = _body(route.path, chance) if method not in ("GET", "HEAD") else None
    request = client.build_request(method, path + query, content=body)
    request.headers["content-type"] = "application/json"
    for name, value in headers:
        request.headers[name] = value.decode("latin-1")
    return request


def _body(path: str, chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return chance.choice(_RAW)
    body = json.loads(json.dumps(_BODIES.get(path, {"x": 1})))
    for _ in range(chance.randint(1, 3)):
        _spoil(body, chance)
    text = json.dumps(body).encode()
    return text[: chance.randrange(len(text))] if chance.random() < 0.1 else text


def _spoil(value: Any, chance: random.Random) -> None:
    """Replace, remove or add something, at any depth."""
    places_ = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not places_:
        return
    place = chance.choice(places_)
    if isinstance(value[place], (dict, list)) and value[place] and chance.random() < 0.7:
        _spoil(value[place], chance)
    elif chance.random() < 0.25:
        del value[place]
    else:
        value[place] = deepcopy(chance.choice(_JUNK))  # it may be spoiled next


def _send(trial: Trial, number: int, client: httpx.Client, request: httpx.Request, watch: _Watch) -> int:
    told = f"{request.method} {request.url} {request.content[:300]!r} {dict(request.headers)}"
    answer = client.send(request)
    changed = not answer.is_success and watch.changed()
    # 501: what a house does not do, whatever is asked
    trial.require(
        answer.status_code < 500 or answer.status_code == 501,
        number,
        f"{answer.status_code} to {told}: {answer.text[:300]}",
    )
    trial.require(not changed, number, f"{answer.status_code}, and yet it changed something: {told}")
    if answer.is_success:
        watch.renew()
    trial.add(number, oracle.Verdict(1, [], [], []))
    return answer.status_code
