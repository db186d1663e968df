"""What changes in runs while somebody looks, as server-sent events: `/live?run=&run=`.

    event: news   data: {"run", "state", "points", "media", "rollouts", "judged", "keys": {key: [series that grew]}}
    event: over   no run of these goes on any more, and nothing has come for a while; or the reader may read them no more

`judged`: how many rollouts have a reward. The store is asked once a second for each who looks: a run's row and signs of life
are read, all its media, rollouts and rewards counted, and its series read where its number of points has grown. The first
news of each run comes at once and has all its keys: some may have grown since the page was made, or while nobody looked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tracehoused.house.api.identify import reader
from tracehoused.house.errors import Refusal
from tracehoused.house.pages.choice import run_ids
from tracehoused.house.state import House, house_of
from tracehoused.house.store import look, overview, rewards, runs
from tracehoused.house.store.once import Caller
from tracehoused.house.values import dump

_EVERY_S = 1.0
_QUIET_ROUNDS = 3
# A key, link or sign-in may end while its news go on.
_ROUNDS_OF_A_READER = 5
# Proxies end connections that are silent for a minute.
_SIGN_OF_LIFE_ROUNDS = 20

News = dict[str, Any]
SeriesId = tuple[str, int, str]


@dataclass
class Seen:
    """What was last told of a run."""

    told: News | None = None
    sizes: dict[SeriesId, int] = field(default_factory=dict)


async def live(request: Request) -> Response:
    asked, caller, house = run_ids(request), await reader(request), house_of(request)
    await run_in_threadpool(
        house.store.read, lambda connection: [runs.run_row(connection, caller, one) for one in asked]
    )
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request, caller, asked), media_type="text/event-stream", headers=headers)


async def _events(request: Request, caller: Caller, asked: list[str]) -> AsyncIterator[bytes]:
    house, seen = house_of(request), {one: Seen() for one in asked}
    quiet = silent = rounds = 0
    while not house.closing.is_set():
        rounds += 1
        try:
            if rounds % _ROUNDS_OF_A_READER == 0:
                caller = await reader(request)
            news = await run_in_threadpool(house.store.read, partial(look_once, caller=caller, seen=seen, house=house))
        except Refusal:
            break  # one of the runs was deleted, or the caller may read no more
        for one in news:
            yield _event("news", one)
        goes_on = any(one.told is not None and one.told["state"] in ("running", "stalled") for one in seen.values())
        quiet = 0 if news or goes_on else quiet + 1
        silent = 0 if news else silent + 1
        if quiet > _QUIET_ROUNDS:
            break
        if silent % _SIGN_OF_LIFE_ROUNDS == _SIGN_OF_LIFE_ROUNDS - 1:
            yield b": still here\n\n"
        await _pause(house.closing)
    if not house.closing.is_set():
        yield _event("over", {})


async def _pause(closing: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(closing.wait(), _EVERY_S)
    except asyncio.TimeoutError:
        return


def _event(name: str, data: News) -> bytes:
    return f"event: {name}\ndata: {dump(data)}\n\n".encode("ascii")


def look_once(connection: Connection, caller: Caller, seen: dict[str, Seen], house: House) -> list[News]:
    """The news of every run since `seen`, which is brought up to date."""
    found = []
    for run_id, known in seen.items():
        row = runs.run_row(connection, caller, run_id)
        grown = known.told is None or row.next_point != known.told["points"]
        state = overview.state_of(row, overview.signs_of(connection, [row])[row.pk], house.store.now_us())
        counts = overview.counts(connection, row.pk)
        told = {
            "run": run_id,
            "state": state,
            "points": row.next_point,
            **{k: counts[k] for k in ("media", "rollouts")},
            "judged": rewards.judged(connection, row.pk) if counts["rollouts"] else 0,
        }
        if told != known.told:
            known.told = told
            keys = _grown(look.metric_summary(connection, row.pk), known) if grown else {}
            found.append({**told, "keys": keys})
    return found


def _grown(summary: list[News], known: Seen) -> dict[str, list[News]]:
    keys: dict[str, list[News]] = {}
    for one in summary:
        series = (one["key"], one["attempt"], one["writer"])
        if known.sizes.get(series) != one["count"]:
            known.sizes[series] = one["count"]
            keys.setdefault(one["key"], []).append(one)
    return keys
