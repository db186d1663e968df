"""Images, videos, sounds and files of a run, by key and step.

Complete without scripts too: `?key=` lists everything under a key, in pages. `static/media.js` joins the keys by one
slider over steps.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import page_of
from tracehoused.house.pages.answer import shown
from tracehoused.house.pages.run import Values, run_page
from tracehoused.house.store import gallery, look
from tracehoused.house.store.look import Page
from tracehoused.house.store.once import Caller
from tracehoused.house.values import dump

_PER_PAGE = 60


@shown
async def run_media(request: Request) -> Response:
    key, asked = request.query_params.get("key"), page_of(request)

    def one_key(connection: Connection, _caller: Caller, row: Row[Any]) -> Values:
        found = look.list_media(connection, row.pk, Page(_PER_PAGE, asked.after), key)
        return {"key": key, "items": found.items, "next": found.next}

    grid = request.query_params.get("view") == "grid"

    def all_keys(connection: Connection, _caller: Caller, row: Row[Any]) -> Values:
        keys = gallery.media_keys(connection, row.pk)
        last = gallery.last_media(connection, row.pk, [one.key for one in keys])
        told = {"run": row.id, "steps": gallery.steps(connection, row.pk)}
        return {"keys": [(one, last[one.key]) for one in keys], "page_data": dump(told), "grid": grid}

    if key is None:
        return await run_page(request, "run_media.html", all_keys)
    return await run_page(request, "run_media_key.html", one_key)
