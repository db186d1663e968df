"""The house killed under load, the moment that an answer arrives, or at its k-th system call: what it acknowledged is there, whole and
once, and what it said was deleted is not.

At an answer its writes are slow: one that answers before it has written would be caught in between.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import httpx

from tests.support import oracle
from tests.support.house import House, all_points, all_spans, new_run, new_trace, once, point, post, span
from tests.support.strace import slowing
from tortures import places
from tortures.house_calls import Sweep, attached
from tortures.trial import Trial

TITLE = "SIGKILL of the house under load, the moment that an answer arrives, or at its k-th system call"
COUNT = 100  # by turns
_BATCHES = 60
_SIZE = 10
_KINDS = ("point", "span", "media", "artifact", "patch")
_SLOW = 2000  # µs for each write to the database's log


def run(trial: Trial) -> None:
    killed: Counter[str] = Counter()
    with places.a_house(trial) as house:
        sweep = Sweep(trial, house) if shutil.which("strace") else None
        for number, chance in trial.points():
            if sweep is not None and number % 2:
                sweep.make(number, chance)
            else:
                killed[_point(trial, house, number, chance)] += 1
    trial.notes.append(f"killed at the answer to {_told(killed)}")
    if sweep is None:
        trial.lacks("strace", "no write was slow, and none killed at a system call")
    else:
        trial.notes.append(f"killed at {_told(sweep.killed)}, of its {len(sweep.points)} calls")


def _told(killed: Counter[str]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in sorted(killed.items()))


def _point(trial: Trial, house: House, number: int, chance: random.Random) -> str:
    """The kind of the request at whose answer it was killed."""
    with house.client() as client:
        load = _Load(number, new_run(client, f"kill-{number}"), new_trace(client, f"kill-{number}"))
    acknowledged: set[int] = set()
    fatal, pid = chance.randrange(_BATCHES * 3 // 4), house.pid

    def send(batch: int) -> None:
        try:
            answer = load.send(client, batch)
        except httpx.TransportError:
            return
        if answer.is_success:
            acknowledged.add(batch)
        if batch == fatal:
            os.kill(pid, signal.SIGKILL)

    with house.client() as client, _slowed(house), ThreadPoolExecutor(4) as threads:
        list(threads.map(send, range(_BATCHES)))
        house.kill()
    trial.require(fatal in acknowledged, number, "it was not killed at an answer")
    house.start()
    account = oracle.Account(begun=set(load.items(range(_BATCHES))), done=set(load.items(acknowledged)))
    with house.client() as client:
        trial.add(number, oracle.judge(account, load.held(client)), "after the kill:")
        for batch in range(_BATCHES):
            load.send(client, batch).raise_for_status()
        account.done = account.begun
        trial.add(number, oracle.judge(account, load.held(client)), "after all was sent again:")
    return _kind(fatal)


def _slowed(house: House) -> AbstractContextManager[None]:
    if not shutil.which("strace"):
        return nullcontext()
    return attached(house, slowing(house.pid, "pwrite64", house.data / "house.db-wal", _SLOW))


def _kind(batch: int) -> str:
    return _KINDS[batch % len(_KINDS)]


class _Load:
    """Requests of all kinds to one run and one trace; a batch of points or spans holds several, others one thing."""

    def __init__(self, number: int, run_id: str, trace_id: str) -> None:
        self._number, self._run_id, self._trace_id = number, run_id, trace_id
        self._run = f"/v1/runs/{run_id}"

    def send(self, client: httpx.Client, batch: int) -> httpx.Response:
        kind, steps = _kind(batch), range(batch * _SIZE, (batch + 1) * _SIZE)
        headers = once(f"{kind}{self._number}", steps[0], steps[-1])
        if kind == "point":
            body = {"points": [point(step, step) for step in steps]}
            return post(client, f"{self._run}/metrics", body, **headers)
        if kind == "span":
            spans = [span(step, f"kill-{self._number}") for step in steps]
            return post(client, "/v1/spans", {"traces": [], "spans": spans}, **headers)
        if kind == "media":
            params = {"key": f"m{batch}", "media_type": "image", "step": str(batch)}
            return client.post(f"{self._run}/media", params=params, content=_picture(batch), headers=headers)
        if kind == "artifact":
            return post(client, f"{self._run}/artifacts", {"name": str(batch), "kind": "json", "data": {}}, **headers)
        key = {"Idempotency-Key": headers["Idempotency-Key"], "Content-Type": "application/json"}
        return client.patch(self._run, json={"config_patch": {f"p{batch}": batch}}, headers=key)

    def items(self, batches: range | set[int]) -> Iterator[oracle.Item]:
        for batch in batches:
            several = range(batch * _SIZE, (batch + 1) * _SIZE) if _kind(batch) in ("point", "span") else (batch,)
            yield from ((_kind(batch), one) for one in several)

    def held(self, client: httpx.Client) -> Counter[oracle.Item]:
        """Media only where their bytes are whole."""
        found = [("point", one[3]) for one in all_points(client, self._run_id)]
        found += [("span", int(one["id"].removeprefix("span-"))) for one in all_spans(client, self._trace_id)]
        for one in client.get(f"{self._run}/media").json()["media"]:
            if client.get(one["url"]).content == _picture(one["step"]):
                found.append(("media", one["step"]))
        found += [("artifact", int(one["name"])) for one in client.get(f"{self._run}/artifacts").json()["artifacts"]]
        config = client.get(self._run).json()["config"] or {}
        return Counter([*found, *(("patch", value) for name, value in config.items() if name.startswith("p"))])


def _picture(batch: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + f"{batch} ".encode() * 5000
