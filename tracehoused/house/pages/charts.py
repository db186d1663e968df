"""Charts of one run and of several: which there are, in groups, and what names and colours their lines have.

The page is complete without scripts: every chart has a table of its series' last values. `static/charts.js` draws them.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import number
from tracehoused.house.api.respond import json_text
from tracehoused.house.pages.answer import look_up, shown
from tracehoused.house.pages.choice import run_ids, series_numbers
from tracehoused.house.pages.export import FORMATS
from tracehoused.house.pages.names import told_apart
from tracehoused.house.pages.render import page, seconds_of
from tracehoused.house.pages.run import head_of, run_page
from tracehoused.house.pages.tables import differences
from tracehoused.house.state import house_of
from tracehoused.house.store import chart, look, runs
from tracehoused.house.store.once import Caller
from tracehoused.house.values import dump

_COLOURS = 10
_SYSTEM = "system"
_NUMBER = re.compile(r"([0-9]+)")

Values = dict[str, Any]


@shown
async def run_charts(request: Request) -> Response:
    def query(connection: Connection, _caller: Caller, row: Row[Any]) -> Values:
        run = look.run_object(row)
        return _charts([run], {run["id"]: look.metric_summary(connection, row.pk)})

    return await run_page(request, "run_charts.html", query)


@shown
async def compare(request: Request) -> Response:
    asked = run_ids(request)
    now_us = house_of(request).store.now_us()

    def query(connection: Connection, caller: Caller) -> Values:
        rows = [runs.run_row(connection, caller, one) for one in asked]
        found = [head_of(connection, row, now_us) for row in rows]
        names = told_apart((head["id"], head["name"]) for head in found)
        heads = [{**head, "name": names[head["id"]]} for head in found]
        summaries = {row.id: look.metric_summary(connection, row.pk) for row in rows}
        config = differences([look.run_object(row)["config"] for row in rows])
        return {"heads": heads, "config": config, **_charts(heads, summaries)}

    return page("compare.html", **await look_up(request, query))


async def data(request: Request) -> Response:
    """`/data/series?run=&series=&buckets=&first=&last=` → {"series": [{"id", "buckets", "nonfinite"}, …]}, as
    `store.chart.buckets` tells. By number, for a key may be any text, and not every text can be part of an address."""
    asked, numbers = run_ids(request), series_numbers(request)
    wanted = number(request, "buckets", 1, 10_000) or 500
    first, last = number(request, "first"), number(request, "last")

    def query(connection: Connection, caller: Caller) -> str:
        pks = [runs.run_row(connection, caller, one).pk for one in asked]
        found = chart.numbered_series(connection, pks, numbers)
        told = [{"id": one.id, **chart.buckets(connection, one.id, wanted, first, last)} for one in found]
        return dump({"series": told})

    return json_text(await look_up(request, query))


def _charts(found: list[Values], summaries: dict[str, list[Values]]) -> Values:
    told = [{"id": run["id"], "name": run["name"], "began": seconds_of(run["started_at"]) or 0} for run in found]
    lines = [line for at, run in enumerate(found) for line in lines_of(run, at, len(found), summaries[run["id"]])]
    return {"groups": grouped(lines), "page_data": dump({"runs": told}), "formats": FORMATS}


def lines_of(run: Values, at: int, of: int, summary: list[Values]) -> list[Values]:
    """A run's series, each with `label`, `colour` (0 to 9) and `dash` (a style number): alone, a run's attempts and writers
    have colours of their own; among others, the run has one colour, and they differ by their dashes."""
    attempts = sorted({one["attempt"] for one in summary})
    writers: dict[int, list[str]] = {attempt: [] for attempt in attempts}
    for one in summary:
        if one["writer"] not in writers[one["attempt"]]:
            writers[one["attempt"]].append(one["writer"])
    places = [(attempt, writer) for attempt in attempts for writer in writers[attempt]]
    lines = []
    for one in summary:
        place = places.index((one["attempt"], one["writer"]))
        parts = [run["name"] or "(no name)"] if of > 1 else []
        if len(attempts) > 1:
            parts.append(f"attempt {one['attempt']}")
        if len(writers[one["attempt"]]) > 1:
            parts.append(f"writer {writers[one['attempt']].index(one['writer']) + 1}")
        style = {"colour": at % _COLOURS, "dash": place} if of > 1 else {"colour": place % _COLOURS, "dash": 0}
        lines.append({**one, **style, "run": run["id"], "label": ", ".join(parts)})
    return lines


def _by_number(text: str) -> list[tuple[int, str]]:
    """An order in which block_2 comes before block_10."""
    parts = _NUMBER.split(text)
    return [(int(part[:18]), part) if at % 2 else (0, part) for at, part in enumerate(parts)]


def grouped(lines: list[Values]) -> list[Values]:
    """Groups by what stands before a key's first slash, those without one first and the machine's own last; each with
    `name` and `charts`: a key, its JSON, its lines, and whether they have only `words`."""
    charts: dict[str, list[Values]] = {}
    for line in lines:
        charts.setdefault(line["key"], []).append(line)
    groups: dict[str, list[Values]] = {}
    for key in sorted(charts, key=_by_number):
        prefix, slash, _ = key.partition("/")
        words = not any(_is_number(line["last_value"]) for line in charts[key])
        told = {"key": key, "code": dump(key), "lines": charts[key], "words": words}
        groups.setdefault(prefix if slash else "", []).append(told)
    names = sorted(groups, key=lambda name: (name == _SYSTEM, name))
    return [{"name": name, "charts": groups[name]} for name in names]


def _is_number(value: Any) -> bool:
    """Also one that JSON has no number for: NaN and the infinities."""
    return isinstance(value, (int, float)) or (isinstance(value, dict) and value.get("_type") == "number")
