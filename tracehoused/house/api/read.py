"""Reading what is held. Lists take `limit` and `after`, and answer `next`: the `after` of the next page, or null.

- `GET /v1/traces?project=&q=` → {"traces": […], "next"}, newest first
- `GET /v1/traces/<id>?limit=&after=` → the trace with `spans` in the order of the conversation, and `next`
- `GET /v1/runs?project=&q=` → {"runs": […], "next"}, newest first
- `GET /v1/runs/<id>` → the run with `metrics`: per series (key, attempt, writer) its count and last point
- `GET /v1/runs/<id>/metrics?key=&key=` → {"series": [{key, attempt, writer, points: [[step, value, time], …]}],
  "next"}, each series by step; with `buckets=n` (and `first=`, `last=`: steps) {"series": [{…, buckets, nonfinite}]},
  as `store.chart` says
- `GET /v1/runs/<id>/media?key=`, `/artifacts`, `/rollouts?step=` → {"media" | "artifacts" | "rollouts": […], "next"}
- `GET /v1/media/<id or sha256>` → the bytes; byte ranges are served
- `GET /v1/runs/<id>/model_card.md` → Markdown
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.identify import reader
from tracehoused.house.api.respond import json_answer, json_text
from tracehoused.house.errors import invalid, unknown
from tracehoused.house.model_card import model_card
from tracehoused.house.state import house_of
from tracehoused.house.store import chart, look, runs, traces
from tracehoused.house.store.once import Caller
from tracehoused.house.values import INT64, dump, int64_of

T = TypeVar("T")
_MOST_ITEMS = 1000
_MOST_POINTS = 100_000


async def _look(request: Request, query: Callable[[Connection, Caller], T]) -> T:
    caller = await reader(request)
    return await run_in_threadpool(house_of(request).store.read, lambda connection: query(connection, caller))


def number(request: Request, name: str, least: int = -INT64, most: int = INT64 - 1) -> int | None:
    """The whole number a query parameter gives; Refusal 422 outside least..most."""
    text = request.query_params.get(name)
    if text is None:
        return None
    value = int64_of(text)
    if value is None:
        raise invalid(f"{name} must be a whole number of 64 bits", field=name)
    if not least <= value <= most:
        raise invalid(f"{name} must lie between {least} and {most}", field=name)
    return value


def page_of(request: Request) -> look.Page:
    query = request.query_params
    limit = number(request, "limit", 1, _MOST_ITEMS) or 100
    return look.Page(limit, number(request, "after", 0), query.get("project"), query.get("q"))


async def get_traces(request: Request) -> Response:
    page = page_of(request)
    found = await _look(request, lambda connection, caller: look.list_traces(connection, caller, page))
    return json_answer({"traces": found.items, "next": found.next})


async def get_trace(request: Request) -> Response:
    trace_id, page = request.path_params["id"], page_of(request)

    def query(connection: Connection, caller: Caller) -> str:
        row = traces.trace_row(connection, caller, trace_id)
        texts, following = look.spans_text(connection, row, page)
        head = dump(look.one_trace(connection, caller, trace_id))
        return f'{head[:-1]},"spans":[{",".join(texts)}],"next":{json.dumps(following)}}}'

    return json_text(await _look(request, query))


async def get_runs(request: Request) -> Response:
    page = page_of(request)
    found = await _look(request, lambda connection, caller: look.list_runs(connection, caller, page))
    return json_answer({"runs": found.items, "next": found.next})


async def get_run(request: Request) -> Response:
    run_id = request.path_params["id"]

    def query(connection: Connection, caller: Caller) -> dict[str, Any]:
        row = runs.run_row(connection, caller, run_id)
        return {**look.run_object(row), "metrics": look.metric_summary(connection, row.pk)}

    return json_answer(await _look(request, query))


async def get_metrics(request: Request) -> Response:
    run_id, keys = request.path_params["id"], request.query_params.getlist("key")
    wanted = number(request, "buckets", 1, 10_000)
    first, last = number(request, "first"), number(request, "last")
    limit, after = number(request, "limit", 1, _MOST_POINTS) or 10_000, _cursor(request)

    def query(connection: Connection, caller: Caller) -> str:
        row = runs.run_row(connection, caller, run_id)
        found = chart.find_series(connection, row.pk, keys)
        if wanted is not None:
            parts = [_bucketed(connection, one, wanted, first, last) for one in found]
            return f'{{"series":[{",".join(parts)}],"next":null}}'
        texts, following = chart.raw_points(connection, found, limit, after)
        parts = [f'{_head(one)},"points":[{",".join(texts[one.id])}]}}' for one in found if one.id in texts]
        cursor = None if following is None else ":".join(map(str, following))
        return f'{{"series":[{",".join(parts)}],"next":{json.dumps(cursor)}}}'

    return json_text(await _look(request, query))


def _head(series: Any) -> str:
    """A series as the beginning of a JSON object, without the closing brace."""
    return dump({"key": series.key, "attempt": series.attempt, "writer": series.writer})[:-1]


def _bucketed(connection: Connection, series: Any, wanted: int, first: int | None, last: int | None) -> str:
    return f"{_head(series)},{dump(chart.buckets(connection, series.id, wanted, first, last))[1:]}"


def _cursor(request: Request) -> chart.Cursor | None:
    text = request.query_params.get("after")
    if text is None:
        return None
    found = [int64_of(part) for part in text.split(":")]
    parts = [part for part in found if part is not None]
    if len(found) != 3 or len(parts) != 3:
        raise invalid("after must be the `next` of an earlier answer", field="after")
    return parts[0], parts[1], parts[2]


async def get_media_list(request: Request) -> Response:
    return await _of_run(
        request,
        "media",
        lambda connection, _caller, run, page: look.list_media(connection, run, page, request.query_params.get("key")),
    )


async def get_artifacts(request: Request) -> Response:
    return await _of_run(
        request, "artifacts", lambda connection, _caller, run, page: look.list_artifacts(connection, run, page)
    )


async def get_rollouts(request: Request) -> Response:
    step = number(request, "step")
    return await _of_run(
        request,
        "rollouts",
        lambda connection, caller, run, page: look.list_rollouts(connection, caller, run, page, step),
    )


async def _of_run(
    request: Request, name: str, query: Callable[[Connection, Caller, int, look.Page], look.Found]
) -> Response:
    run_id, page = request.path_params["id"], page_of(request)

    def find(connection: Connection, caller: Caller) -> look.Found:
        return query(connection, caller, runs.run_row(connection, caller, run_id).pk, page)

    found = await _look(request, find)
    return json_answer({name: found.items, "next": found.next})


async def get_media(request: Request) -> Response:
    name = request.path_params["name"]
    found = await _look(request, lambda connection, caller: look.find_media(connection, caller, name))
    if found is None:
        raise unknown("media", name)
    shown = found["mime"].split("/")[0] in ("image", "video", "audio")
    headers = {
        # Even opened by itself, an uploaded SVG or page must not run as a page of this house.
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        "Content-Disposition": "inline" if shown else "attachment",
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    answer = await run_in_threadpool(house_of(request).blobs.answer, request, found, headers)
    if answer is None:
        raise unknown("media", name)
    return answer


async def get_model_card(request: Request) -> Response:
    run_id = request.path_params["id"]

    def query(connection: Connection, caller: Caller) -> str:
        row = runs.run_row(connection, caller, run_id)
        return model_card(look.run_object(row), look.metric_summary(connection, row.pk))

    text = await _look(request, query)
    return Response(text.encode("utf-8", "replace"), media_type="text/markdown; charset=utf-8")
