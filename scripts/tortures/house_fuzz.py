"""Malformed requests on every route of the house: no 5xx, and none that is refused changes anything."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter, defaultdict
from copy import deepcopy
from typing import Any, NamedTuple

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
# what no body may say, instead of what a good one does
_WRONG: dict[str, tuple[dict[str, Any], ...]] = {
    "/v1/traces": ({"session_id": None}, {"session_id": ""}, {"started_at": "9999-99-99"}, {"rollout_step": "1"}),
    "/v1/spans": ({"spans": {}}, {"spans": [{}]}, {"traces": [[]]}, {"patches": [{}]}),
    "/v1/runs": ({"name": None}, {"client_run_id": 5}, {"started_at": None}, {"config": []}),
    "/v1/runs/{id}": ({"status": "going"}, {"ended_at": 5}, {"config_patch": "x"}),
    "/v1/traces/{id}": ({"outcome": "x"}, {"metadata": []}, {"model": 1}),
    "/v1/runs/{id}/metrics": ({"points": None}, {"points": [{}]}, {"points": [point(1), {**point(2), "step": 1.5}]}),
    "/v1/runs/{id}/artifacts": ({"name": ""}, {"kind": "x"}, {"name": None}),
    "/v1/verify": ({"sessions": [{}]}, {"sessions": "x"}, {"media": ["x"]}),
}
_NOBODYS = ("nobody", "..", "%2e%2e%2f", "\ud800".encode("utf-8", "replace").decode())
_MEDIA = "/v1/runs/{id}/media"
_NOT_HERE = "/v1/runs/{id}/push_model_card"  # a 501, whatever is asked
_SHARE = 20  # of so many requests to a route that writes one must be refused for what it says, and another taken


def run(trial: Trial) -> None:
    with places.a_house(trial, "house", "--allow-anonymous") as house, house.client() as client:
        live, watch = _Live(client), _Watch(house)
        answers: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for number, chance in trial.points():
            asked = _asked(client, chance, live)
            answers[asked.route][_send(trial, number, client, asked, live, watch)] += 1
        trial.require(client.get("/v1/runs").status_code == 200, trial.made, "the house no longer answers")
        if trial.only is None:
            _check_shares(trial, answers)
        told = sum(answers.values(), Counter[int]())
        trial.notes.append(", ".join(f"{count} × {code}" for code, count in sorted(told.items())))


def _check_shares(trial: Trial, answers: dict[str, Counter[int]]) -> None:
    """Requests get as far as what they say being looked at, and found right or wrong."""
    for route in (f"{method} {one.path}" for one in api_routes() for method in one.methods or ()):
        told, least = answers[route], answers[route].total() // _SHARE
        if route.startswith(("GET", "HEAD")) or route.endswith(_NOT_HERE):
            continue
        right = told[400] + told[422] >= least and told[200] + told[204] >= least
        trial.require(right, trial.made, f"{route} refused, or took, too few: {dict(told)}")


class _Live:
    """The run and the trace that most requests are about: another one as soon as one was deleted."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._made = 0
        self.renew_run()
        self.renew_trace()

    def renew_run(self) -> None:
        self._made += 1
        self.run = new_run(self._client, f"live-{self._made}")
        post(self._client, f"/v1/runs/{self.run}/metrics", {"points": [point(step) for step in range(50)]})

    def renew_trace(self) -> None:
        self._made += 1
        self.session = f"live-{self._made}"
        self.trace = new_trace(self._client, self.session)

    def deleted(self, path: str) -> None:
        if path == f"/v1/runs/{self.run}":
            self.renew_run()
        elif path == f"/v1/traces/{self.trace}":
            self.renew_trace()

    def id_for(self, path: str, chance: random.Random) -> str:
        """Mostly one that there is."""
        own, other = (self.trace, self.run) if path.startswith("/v1/traces") else (self.run, self.trace)
        return own if chance.random() < 0.7 else chance.choice([*_NOBODYS, other])

    def body(self, path: str) -> dict[str, Any]:
        """A good one."""
        bodies: dict[str, dict[str, Any]] = {
            "/v1/traces": {"session_id": "s", "started_at": TIME, "scaffold": "x", "rollout_step": 1},
            "/v1/spans": {"traces": [], "spans": [span(1, self.session, end_at=TIME)]},
            "/v1/runs": {"name": "n", "client_run_id": "c", "started_at": TIME, "config": {}},
            "/v1/runs/{id}": {"status": "running", "ended_at": TIME, "config_patch": {}},
            "/v1/traces/{id}": {"outcome": "good", "metadata": {}},
            "/v1/runs/{id}/metrics": {"points": [point(1)]},
            "/v1/runs/{id}/artifacts": {"name": "n", "kind": "json", "data": 1},
            "/v1/verify": {"sessions": [{"uid": "u", "segment": "s", "endpoint": "spans", "first": 1, "last": 2}]},
        }
        return bodies.get(path, {"x": 1})


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


class _Asked(NamedTuple):
    """``is_bad``: known to be, so that it may not be taken."""

    route: str
    request: httpx.Request
    is_bad: bool


def _asked(client: httpx.Client, chance: random.Random, live: _Live) -> _Asked:
    route = chance.choice(api_routes())
    methods = sorted(route.methods or {"GET"}) + ["PUT", "DELETE"] * (chance.random() < 0.05)
    method = chance.choice(methods)
    whose = live.id_for(route.path, chance)
    path = route.path.replace("{id}", whose).replace("{name}", chance.choice(["../x", "0" * 64, "%00"]))
    query = f"?{chance.choice(_QUERIES)}" if chance.random() < 0.3 else ""
    if (method, route.path) == ("POST", _MEDIA) and chance.random() < 0.5:
        query = "?media_type=image&key=k"
    headers = [(name, value) for name, value in _HEADERS if chance.random() < 0.03]
    body, is_bad = _body(route.path, method, chance, live) if method not in ("GET", "HEAD") else (None, False)
    request = client.build_request(method, path + query, content=body)
    request.headers["content-type"] = "application/json"
    for name, value in headers:
        request.headers[name] = value.decode("latin-1")
    # what is about nobody may be sent elsewhere
    return _Asked(f"{method} {route.path}", request, is_bad and whose not in _NOBODYS)


def _body(path: str, method: str, chance: random.Random, live: _Live) -> tuple[bytes, bool]:
    """Whether it is known to be bad as well: no JSON object, or one with what none may say."""
    how = chance.random()
    good = live.body(path)
    if how < 0.15:
        body, is_bad = chance.choice(_RAW), True
    elif how < 0.3 and path in _WRONG and method != "DELETE":
        body, is_bad = json.dumps({**good, **chance.choice(_WRONG[path])}).encode(), True
    else:
        for _ in range(chance.choice((0, 0, 1, 2, 3))):
            _spoil(good, chance)
        body, is_bad = json.dumps(good).encode(), False
        if chance.random() < 0.1:
            body, is_bad = body[: chance.randrange(len(body))], True
    # no body is as good as an empty object to some, and a picture is any bytes
    return body, is_bad and path != _MEDIA and (body != b"" or (path in _WRONG and method != "DELETE"))


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


def _send(trial: Trial, number: int, client: httpx.Client, asked: _Asked, live: _Live, watch: _Watch) -> int:
    request = asked.request
    told = f"{request.method} {request.url} {request.content[:300]!r} {dict(request.headers)}"
    answer = client.send(request)
    code = answer.status_code
    changed = not answer.is_success and watch.changed()
    not_here = code == 501 and asked.route.endswith(_NOT_HERE)
    trial.require(code < 500 or not_here, number, f"{code} to {told}: {answer.text[:300]}")
    trial.require(not asked.is_bad or 400 <= code < 500 or not_here, number, f"{code} to what is wrong: {told}")
    trial.require(not changed, number, f"{code}, and yet it changed something: {told}")
    if answer.is_success:
        if request.method == "DELETE":
            live.deleted(request.url.path)
        watch.renew()
    trial.add(number, oracle.Verdict(1, [], [], []))
    return code
