"""The house killed at random moments under load: what it acknowledged is there, whole and once."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.support import oracle
from tests.support.house import House, all_points, all_spans, new_run, new_trace, once, point, post, span
from tests.support.waiting import wait_until
from tortures import places
from tortures.trial import Trial

TITLE = "SIGKILL of the house at random times under load"
COUNT = 100
_BATCHES = 60
_SIZE = 10


def run(trial: Trial) -> None:
    with places.a_house(trial) as house:
        for number, chance in trial.points():
            _point(trial, house, number, chance)


def _point(trial: Trial, house: House, number: int, chance: random.Random) -> None:
    with house.client() as client:
        run_id = new_run(client, f"kill-{number}")
        trace_id = new_trace(client, f"kill-{number}")
    acknowledged: set[int] = set()

    def send(batch: int) -> None:
        try:
            if _send(client, run_id, number, batch).is_success:
                acknowledged.add(batch)
        except httpx.TransportError:
            return

    with house.client() as client, ThreadPoolExecutor(4) as threads:
        sent = [threads.submit(send, batch) for batch in range(_BATCHES)]
        wanted = chance.randrange(_BATCHES // 2)
        wait_until(lambda: sum(one.done() for one in sent) >= wanted, what="batches")
        house.kill()
    house.start()
    account = oracle.Account(begun=set(_items(range(_BATCHES))), done=set(_items(acknowledged)))
    with house.client() as client:
        trial.add(number, oracle.judge(account, _held(client, run_id, trace_id)), "after the kill:")
        for batch in range(_BATCHES):
            _send(client, run_id, number, batch).raise_for_status()
        account.done = account.begun
        trial.add(number, oracle.judge(account, _held(client, run_id, trace_id)), "after all was sent again:")


def _send(client: httpx.Client, run_id: str, number: int, batch: int) -> httpx.Response:
    steps = range(batch * _SIZE, (batch + 1) * _SIZE)
    if batch % 2:
        spans = [span(step, f"kill-{number}") for step in steps]
        return post(client, "/v1/spans", {"traces": [], "spans": spans}, **once(f"s{number}", steps[0], steps[-1]))
    points = [point(step, step) for step in steps]
    headers = once(f"m{number}", steps[0], steps[-1])
    return post(client, f"/v1/runs/{run_id}/metrics", {"points": points}, **headers)


def _items(batches: range | set[int]) -> list[oracle.Item]:
    kinds = ("point", "span")
    return [(kinds[batch % 2], step) for batch in batches for step in range(batch * _SIZE, (batch + 1) * _SIZE)]


def _held(client: httpx.Client, run_id: str, trace_id: str) -> Counter[oracle.Item]:
    points = [("point", one[3]) for one in all_points(client, run_id)]
    spans = [("span", int(one["id"].removeprefix("span-"))) for one in all_spans(client, trace_id)]
    return Counter([*points, *spans])
