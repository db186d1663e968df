"""A trace: the conversation, its timeline, and the JSON of each span."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape
from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import number
from tracehoused.house.errors import unknown
from tracehoused.house.pages.answer import look_up, page_beside, shown, wanted
from tracehoused.house.pages.conversation import Said, turns_of
from tracehoused.house.pages.highlight import code
from tracehoused.house.pages.markdown import html_of
from tracehoused.house.pages.render import moment, page, pretty
from tracehoused.house.pages.timeline import rows_of
from tracehoused.house.store import look, talk, traces
from tracehoused.house.store.once import Caller

Values = dict[str, Any]
SPANS = 300
_LEAD = 20
_MOST_FOUND = 200
_MOST_ROWS = 3000
_LONG = 1800
_MANY_LINES = 24


def show(text: Said) -> Markup:
    """A text of the conversation as HTML."""
    if text.form == "markdown":
        return html_of(text.text)
    return code(text.text, "" if text.form == "plain" else text.form)


def is_long(text: Said) -> bool:
    """Whether it is folded at first."""
    return len(text.text) > _LONG or text.text.count("\n") > _MANY_LINES


def pretty_code(value: Any) -> Markup:
    """A value as JSON in colours; a text as it is."""
    return escape(value) if isinstance(value, str) else code(pretty(value), "json")


def clock(text: str) -> str:
    """The time of day of a time of the wire, in UTC."""
    return moment(text)[11:19]


HELPERS: Values = {"show": show, "is_long": is_long, "clock": clock}


def head_of(connection: Connection, caller: Caller, row: Row[Any]) -> Values:
    return {"trace": look.one_trace(connection, caller, row.id), "took": talk.took(connection, row)}


@shown
async def trace(request: Request) -> Response:
    word = wanted(request, "q")
    after, place = number(request, "after", 0), number(request, "at", 0)

    def query(connection: Connection, caller: Caller) -> Values:
        row = traces.trace_row(connection, caller, request.path_params["id"])
        head = head_of(connection, caller, row)
        if word is not None:
            found, total = talk.with_word(connection, row, word, _MOST_FOUND)
            return {**head, "part": talk.Part(found, None, None), "total": total}
        begin = after or 0 if place is None else talk.around(connection, row.pk, place, _LEAD)
        return {**head, "part": talk.part(connection, row, begin, SPANS), "total": None}

    values = await look_up(request, query)
    said = values["part"].spans
    return await page_beside(lambda: page("trace.html", turns=turns_of(said), word=word, **HELPERS, **values))


@shown
async def timeline(request: Request) -> Response:
    def query(connection: Connection, caller: Caller) -> Values:
        row = traces.trace_row(connection, caller, request.path_params["id"])
        return {**head_of(connection, caller, row), "outline": talk.outline(connection, row.pk, _MOST_ROWS)}

    values = await look_up(request, query)
    return page("timeline.html", rows=rows_of(values.pop("outline")), most=_MOST_ROWS, **values)


@shown
async def about(request: Request) -> Response:
    def query(connection: Connection, caller: Caller) -> Values:
        return head_of(connection, caller, traces.trace_row(connection, caller, request.path_params["id"]))

    values = await look_up(request, query)
    return await page_beside(lambda: page("about.html", pretty_code=pretty_code, **values))


@shown
async def span(request: Request) -> Response:
    place: int = request.path_params["n"]

    def query(connection: Connection, caller: Caller) -> Values:
        row = traces.trace_row(connection, caller, request.path_params["id"])
        found = talk.one(connection, row, place)
        if found is None:
            raise unknown("span", str(place))
        return {"trace": look.one_trace(connection, caller, row.id), "span": found}

    values = await look_up(request, query)

    def make() -> Response:
        return page("span.html", raw=code(pretty(values["span"]), "json"), n=place, **values)

    return await page_beside(make)
