"""The head and the tabs that every page of one run has, and the tabs that only list what is held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.pages.answer import look_up, page_beside
from tracehoused.house.pages.render import page
from tracehoused.house.state import house_of
from tracehoused.house.store import look, overview, runs
from tracehoused.house.store.once import Caller

Values = dict[str, Any]
Query = Callable[[Connection, Caller, Row[Any]], Values]

# (tab, what follows the run's address, label)
TABS = (
    ("charts", "", "Charts"),
    ("media", "/media", "Media"),
    ("rollouts", "/rollouts", "Rollouts"),
    ("config", "/config", "Config"),
    ("environment", "/environment", "Environment"),
    ("artifacts", "/artifacts", "Artifacts"),
    ("links", "/links", "Links"),
)


def head_of(connection: Connection, row: Row[Any], now_us: int) -> Values:
    """A run as `look.run_object` tells it, with `state`, `lasted` and `quiet` (seconds)."""
    signs = overview.signs_of(connection, [row])[row.pk]
    state = overview.state_of(row, signs, now_us)
    return {
        **look.run_object(row),
        "state": state,
        "lasted": overview.lasted(row, signs, now_us, state),
        "quiet": (now_us - signs.last_us) / 1_000_000,
    }


async def run_page(request: Request, template: str, query: Query) -> Response:
    """A tab of the run that the address names: `query`'s values, with `run`, `counts` and `tabs` for the head."""
    now_us = house_of(request).store.now_us()

    def find(connection: Connection, caller: Caller) -> Values:
        row = runs.run_row(connection, caller, request.path_params["id"])
        counts = overview.counts(connection, row.pk)
        return {"run": head_of(connection, row, now_us), "counts": counts, **query(connection, caller, row)}

    values = await look_up(request, find)
    return await page_beside(lambda: page(template, tabs=TABS, **values))
