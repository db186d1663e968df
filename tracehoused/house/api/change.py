"""How every request that changes something runs: who, once, body, parse, apply in one transaction, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.identify import writer
from tracehoused.house.api.receive import digest_of, once_of, read_body
from tracehoused.house.api.respond import json_answer
from tracehoused.house.state import house_of
from tracehoused.house.store.once import Answer, Caller, Once, apply_once, names_of
from tracehoused.house.values import parse_object

T = TypeVar("T")


@dataclass(frozen=True)
class Change(Generic[T]):
    """One request, ready to apply: `now_us` is the time it came in."""

    caller: Caller
    once: Once
    now_us: int
    body: T


Step = Callable[[Connection, Change[T]], dict[str, Any]]


async def change_json(
    request: Request,
    endpoint: str,
    parse: Callable[[dict[str, Any], int], T],
    apply: Step[T],
    known: Step[T],
) -> Response:
    """`parse(body, now_us)` checks the JSON object; `apply` has the effect; `known` answers what was applied before."""
    house = house_of(request)
    caller, once = await writer(request), once_of(request, endpoint)
    with house.in_flight.begin(caller.identity, once.key, once.after) as turn:
        raw = await read_body(request, house.options.body_limit)
        now_us = house.store.now_us()
        empty = b"{}" if request.method == "DELETE" else b""

        def decode() -> tuple[T, str]:
            digest = digest_of(request, raw) if once.key is not None else ""
            return parse(parse_object(raw or empty), now_us), digest

        body, digest = await run_in_threadpool(decode)
        change = Change(caller, replace(once, digest=digest), now_us, body)
        await turn.come()
        turn.take()
        return await commit(request, change, apply, known, begun=turn.pass_on)


async def commit(
    request: Request,
    change: Change[T],
    apply: Step[T],
    known: Step[T],
    names: tuple[str, ...] = (),
    begun: Callable[[], None] = lambda: None,
) -> Response:
    """Apply a change once and answer when it is durable. `names`: what it looks at beside what every request does. `begun` is
    called when no later change can come before it."""

    def run(connection: Connection) -> Answer:
        return apply_once(
            connection,
            change.caller,
            change.once,
            change.now_us,
            lambda inner: Answer(apply(inner, change)),
            lambda inner: Answer(known(inner, change)),
        )

    names += names_of(change.caller, change.once, request.path_params.get("id"))
    result = house_of(request).store.write(run, names)
    begun()
    answer = await asyncio.wrap_future(result)
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return json_answer(answer.body, answer.status, headers)
