"""The table of traces: filter, search, newest first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import number
from tracehoused.house.pages.answer import look_up, shown, wanted
from tracehoused.house.pages.render import page
from tracehoused.house.store import listing
from tracehoused.house.store.once import Caller

OUTCOMES = ("good", "bad", "neutral")


@shown
async def all_traces(request: Request) -> Response:
    outcome = wanted(request, "outcome")
    asked = listing.Asked(
        wanted(request, "project"),
        wanted(request, "q"),
        outcome if outcome in OUTCOMES else None,
        number(request, "after", 0) if wanted(request, "after") else None,
        wanted(request, "in") == "said",
    )

    def query(connection: Connection, caller: Caller) -> dict[str, Any]:
        found = listing.find_traces(connection, caller, asked)
        return {"traces": found, "projects": listing.projects(connection, caller)}

    kept = {"project": asked.project, "q": asked.like, "in": asked.said and "said", "outcome": asked.outcome}
    more = {name: value for name, value in kept.items() if value}
    return page(
        "traces.html",
        asked=asked,
        outcomes=OUTCOMES,
        kept=more,
        most=listing.MOST_SPANS,
        **await look_up(request, query),
    )
