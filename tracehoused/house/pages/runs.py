"""The table of all runs: filter, search, sort, and choose several to compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import number
from tracehoused.house.pages.answer import look_up, shown, wanted
from tracehoused.house.pages.render import page
from tracehoused.house.state import house_of
from tracehoused.house.store import overview
from tracehoused.house.store.once import Caller

STATES = ("running", "stalled", "finished", "failed", "crashed", "killed")
_COLUMNS = frozenset({"name", "status", "project", "machine", "started", "duration", "points"})
_DEFAULT_METRICS = 3
_MOST_METRICS = 8
# Of the metrics that the runs share, these say most at a glance.
_TELLING = ("reward/mean", "reward", "eval/accuracy", "accuracy", "loss", "train/loss", "eval/loss", "val/loss")


def _asked(request: Request) -> overview.Asked:
    by = request.query_params.get("sort", "started")
    status = wanted(request, "status")
    return overview.Asked(
        wanted(request, "project"),
        wanted(request, "q"),
        status if status in STATES else None,
        by if by in _COLUMNS or by.startswith("metric:") else "started",
        request.query_params.get("order", "down") != "up",
        number(request, "page", 1, 10**9) or 1,
    )


def _href(request: Request) -> Callable[..., str]:
    """This page's address with some parameters changed; None leaves one out."""

    def href(**changes: str | int | None) -> str:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name not in changes and value]
        given = [(name, str(value)) for name, value in changes.items() if value is not None]
        return "/?" + urlencode([*kept, *given], errors="replace")

    return href


@shown
async def all_runs(request: Request) -> Response:
    asked, chosen = _asked(request), request.query_params.getlist("metric")[:_MOST_METRICS]
    now_us = house_of(request).store.now_us()

    def query(connection: Connection, caller: Caller) -> dict[str, Any]:
        found, total = overview.find_runs(connection, caller, asked, now_us)
        pks = [row.pk for row in found]
        keys = overview.metric_keys(connection, pks)
        metrics = [key for key in chosen if key] or telling(keys)
        signs, last = overview.signs_of(connection, found), overview.last_values(connection, pks, metrics)
        return {
            "runs": [_line(row, signs[row.pk], now_us, [last.get((row.pk, key)) for key in metrics]) for row in found],
            "total": total,
            "keys": sorted({*keys, *metrics}),
            "metrics": metrics,
            "projects": overview.projects(connection, caller),
        }

    href = _href(request)
    sorting = {
        "by": asked.by,
        "descending": asked.descending,
        "href": lambda by, down: href(sort=by, order="down" if down else "up", page=None),
    }
    values = await look_up(request, query)
    more: dict[str, Any] = {"asked": asked, "states": STATES, "chosen": chosen, "sorting": sorting, "href": href}
    return page("runs.html", **values, **more)


def telling(keys: list[str]) -> list[str]:
    """The few metrics to show where none were chosen, of keys in the order of how many runs have them."""
    known = [key for key in _TELLING if key in keys]
    return [*known, *(key for key in keys if key not in known)][:_DEFAULT_METRICS]


def _line(run: Row[Any], signs: overview.Signs, now_us: int, last: list[Row[Any] | None]) -> dict[str, Any]:
    state = overview.state_of(run, signs, now_us)
    return {
        "id": run.id,
        "name": run.name,
        "state": state,
        "project": run.project,
        "machine": run.hostname or run.machine,
        "started_at": run.started_at,
        "quiet": (now_us - signs.last_us) / 1_000_000,
        "lasted": overview.lasted(run, signs, now_us, state),
        "points": run.next_point,
        "last": [None if one is None else _value(one) for one in last],
    }


def _value(row: Row[Any]) -> Any:
    return row.last_value if row.last_json is None else json.loads(row.last_json)
