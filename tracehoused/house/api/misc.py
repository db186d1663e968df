"""`GET /v1/capabilities`, `POST /v1/anon/session`, `POST /v1/verify`, and deletion.

`POST /v1/verify` tells what the house durably holds, so that an agent can prove an upload before it deletes:

    {"sessions": [{"uid", "segment", "endpoint", "first", "last"}, …], "media": ["<sha256>", …]}

`endpoint` is one of traces, spans, trace_patch, runs, run_patch, metrics, media, artifacts; first and last are sequence
numbers, both inclusive. At most 10,000 of each. The answer keeps the order of `sessions`:

    {"sessions": [{"uid", "segment", "endpoint", "have": [[first, last], …]}, …], "missing": ["<sha256>", …]}

`have` is cut to first..last and empty where nothing is held; `missing` lists the media this caller has not stored.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house import chat, fields, training
from tracehoused.house.api.change import Change, change_json
from tracehoused.house.api.identify import reader
from tracehoused.house.api.receive import read_body
from tracehoused.house.api.respond import json_answer
from tracehoused.house.errors import Refusal, invalid
from tracehoused.house.state import house_of
from tracehoused.house.store import ranges, runs, traces
from tracehoused.house.store.once import Caller
from tracehoused.house.store.schema import media
from tracehoused.house.store.schema import runs as run_table
from tracehoused.house.values import parse_object

ENDPOINTS = frozenset({"traces", "spans", "trace_patch", "runs", "run_patch", "metrics", "media", "artifacts"})
MOST = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


async def capabilities(request: Request) -> Response:
    house = house_of(request)
    return json_answer(
        {
            "media_types": list(training.MEDIA_TYPES),
            "nonfinite": True,
            "verify": True,
            "gzip": True,
            "ranges": True,
            "after": True,
            "content_digest": True,
            "trace_batch": chat.MOST_TRACES,
            "version": house.options.version,
            "max_media_bytes": house.blobs.limit,
            "max_body_bytes": house.options.body_limit,
        }
    )


async def anonymous_session(request: Request) -> Response:
    house = house_of(request)
    if not house.options.allow_anonymous:
        raise Refusal(403, "no_anonymous", "this house takes no anonymous uploads; use a key")
    parse_object(await read_body(request, 4096) or b"{}")
    made = await run_in_threadpool(house.auth.new_anonymous)
    return json_answer(
        {
            "token": made.token,
            "read_token": made.read_token,
            "claim_token": made.claim_token,
            "web_url": str(request.base_url).rstrip("/"),
        }
    )


async def verify(request: Request) -> Response:
    house, caller = house_of(request), await reader(request)
    body = parse_object(await read_body(request, house.options.body_limit))
    places = [_place(item, caller, at) for at, item in enumerate(fields.items(body, "sessions"))]
    hashes = fields.items(body, "media")
    if len(places) > MOST or len(hashes) > MOST:
        raise invalid(f"at most {MOST} sessions and {MOST} media at a time")
    if not all(isinstance(name, str) and _SHA256.fullmatch(name) for name in hashes):
        raise invalid("media must be SHA-256 hashes, in lower-case hex")

    def look() -> dict[str, Any]:
        held = house.store.read(lambda connection: [_held(connection, *place) for place in places])
        mine = house.store.read(lambda connection: _stored_media(connection, caller, hashes))
        lost = house.blobs.missing(sorted(mine))
        return {"sessions": held, "missing": [name for name in hashes if name not in mine or name in lost]}

    return json_answer(await run_in_threadpool(look))


def _place(item: Any, caller: Caller, at: int) -> tuple[ranges.Place, int, int]:
    if not isinstance(item, dict):
        raise invalid(f"sessions[{at}] must be a JSON object", index=at)
    uid, segment = fields.identifier(item, "uid"), fields.identifier(item, "segment")
    endpoint = str(fields.choice(item, "endpoint", ENDPOINTS, required=True))
    first, last = fields.whole(item, "first"), fields.whole(item, "last")
    if first is None or last is None or not 0 <= first <= last:
        raise invalid(f"sessions[{at}]: first and last must be whole numbers with 0 ≤ first ≤ last", index=at)
    return ranges.Place(caller.identity, uid, segment, endpoint), first, last


def _held(connection: Connection, place: ranges.Place, first: int, last: int) -> dict[str, Any]:
    have = [list(interval) for interval in ranges.held(connection, place, first, last)]
    return {"uid": place.uid, "segment": place.segment, "endpoint": place.endpoint, "have": have}


def _stored_media(connection: Connection, caller: Caller, hashes: list[str]) -> set[str]:
    found: set[str] = set()
    query = select(media.c.sha256).join(run_table, run_table.c.pk == media.c.run)
    query = query.where(run_table.c.identity == caller.identity)
    for at in range(0, len(hashes), 500):
        found.update(connection.execute(query.where(media.c.sha256.in_(hashes[at : at + 500]))).scalars())
    return found


async def delete_trace(request: Request) -> Response:
    trace_id = request.path_params["id"]

    def apply(connection: Connection, change: Change[None]) -> dict[str, Any]:
        traces.delete_trace(connection, change.caller, trace_id, change.now_us)
        return {"id": trace_id, "deleted": True}

    return await _delete(request, apply)


async def delete_run(request: Request) -> Response:
    run_id = request.path_params["id"]

    def apply(connection: Connection, change: Change[None]) -> dict[str, Any]:
        runs.delete_run(connection, change.caller, run_id, change.now_us)
        return {"id": run_id, "deleted": True}

    return await _delete(request, apply)


async def _delete(request: Request, apply: Any) -> Response:
    return await change_json(request, "delete", lambda _body, _now: None, apply, apply)
