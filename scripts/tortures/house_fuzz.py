"""Malformed requests to every route of the house, each wrong in at least one way: all are refused with a 4xx, and none changes anything."""

from __future__ import annotations

import socket
from collections import Counter, defaultdict
from http.client import HTTPException, HTTPResponse

import httpx

from tests.support import oracle
from tests.support.house import House, new_run, new_trace, once, point, post
from tortures import house_wrongs, places
from tortures.house_state import State
from tortures.house_wrongs import LOOKED_AT, NOT_HERE, ROUTES, Message, Target
from tortures.trial import Trial

TITLE = "malformed requests on every route of the house"
COUNT = 10_000
_MUCH = 65_536  # bytes
_BATCH = 100  # after so many, all that the house keeps is looked at
_SHARE = 5  # of so many requests to a route that takes a body or a query, one at least is refused for what it says
_HUNG_UP, _SILENT = 0, 1  # instead of an answer


def run(trial: Trial) -> None:
    with places.a_house(trial, "house", "--allow-anonymous") as house, house.client() as client:
        _check_sound(trial, house, client)
        target = _target(house, client, "live")
        state = State(house.data)
        before = state.digest()
        answers: defaultdict[str, Counter[int]] = defaultdict(Counter)
        faults: Counter[str] = Counter()
        routes = ROUTES + 3 * LOOKED_AT
        for number, chance in trial.points():
            message = house_wrongs.sound(chance.choice(routes), target)
            house_wrongs.spoil(message, chance, target)
            answers[message.route][_send(trial, number, house, message, state)] += 1
            faults.update(message.faults)
            if number % _BATCH == 0:
                trial.require(state.digest() == before, number, "what the house keeps was changed")
        trial.require(state.digest() == before, trial.made, "what the house keeps was changed")
        trial.require(client.get("/v1/runs").status_code == 200, trial.made, "the house no longer answers")
    if trial.only is None:
        _check_shares(trial, answers)
    _tell(trial, answers, faults)


def _check_sound(trial: Trial, house: House, client: httpx.Client) -> None:
    """Without their faults all of them would be taken; so it is these that they are refused for."""
    for route in ROUTES:
        target = _target(house, client, route)
        code, text = _answer(house, house_wrongs.sound(route, target))
        wanted = code == 501 if route == NOT_HERE else 200 <= code < 300
        trial.require(wanted, 0, f"{route}, sound: {code} {text[:300]!r}")


def _target(house: House, client: httpx.Client, name: str) -> Target:
    run_id = new_run(client, name)
    path, used = f"/v1/runs/{run_id}", f"used-{name}".replace(" ", "-")
    post(client, f"{path}/metrics", {"points": [point(step) for step in range(50)]}, **once(used, 1, 50, key=used))
    medium = client.post(f"{path}/media", params={"key": "k", "media_type": "image"}, content=name.encode())
    return Target(house.key, run_id, new_trace(client, name), medium.json()["id"], used)


def _send(trial: Trial, number: int, house: House, message: Message, state: State) -> int:
    code, text = _answer(house, message)
    told = f"{message.route} with {', '.join(message.faults)}: {code} to {message.text()[:600]!r}"
    # who still sends what was refused already may not come to read why
    is_lost = code == _HUNG_UP and (message.is_cut or len(message.body) > _MUCH)
    trial.require(400 <= code < 500 or is_lost, number, f"{told}: {text[:300]!r}")
    trial.require(not state.changed(), number, f"it changed something: {told}")
    trial.add(number, oracle.Verdict(1, [], [], []))
    return code


def _answer(house: House, message: Message) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", house.port), timeout=10) as raw:
        response = HTTPResponse(raw, method=message.method)
        try:
            raw.sendall(message.text())
            if message.is_cut:
                raw.shutdown(socket.SHUT_WR)
            response.begin()
            return response.status, response.read()
        except (HTTPException, ConnectionError):
            return _HUNG_UP, b""
        except TimeoutError:
            return _SILENT, b""


def _check_shares(trial: Trial, answers: dict[str, Counter[int]]) -> None:
    """Requests get as far as what they say being looked at."""
    for route in LOOKED_AT:
        told = answers[route]
        looked_at = told[400] + told[422] >= told.total() // _SHARE
        trial.require(looked_at, trial.made, f"{route}: too few were refused for what they say: {dict(told)}")


def _tell(trial: Trial, answers: dict[str, Counter[int]], faults: Counter[str]) -> None:
    told = sum(answers.values(), Counter[int]())
    refused = sum(count for code, count in told.items() if 400 <= code < 500)
    trial.notes.append(f"{refused:,} refused, {told[_HUNG_UP]} hung up on in their middle")
    trial.notes.append(", ".join(f"{count} × {code}" for code, count in sorted(told.items()) if code != _HUNG_UP))
    trial.notes.append(", ".join(f"{count} × {name}" for name, count in faults.most_common()))
