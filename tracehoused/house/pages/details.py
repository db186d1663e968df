"""What a run is besides its curves: config, environment, artifacts, links and its model card; and two runs compared."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import page_of
from tracehoused.house.model_card import model_card
from tracehoused.house.pages.answer import shown, wanted
from tracehoused.house.pages.markdown import html_of
from tracehoused.house.pages.names import told_apart
from tracehoused.house.pages.run import run_page
from tracehoused.house.pages.tables import lines
from tracehoused.house.pages.trace import pretty_code
from tracehoused.house.store import look, overview, runs
from tracehoused.house.store.once import Caller

Values = dict[str, Any]
_SLUG = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_OTHERS = 200
_MOST_COMPARED = 1000


async def _table(request: Request, tab: str, label: str, read: Any) -> Response:
    """`read(connection, run)`: the value shown, of this run and of the one it is compared with."""
    against, only = wanted(request, "with"), wanted(request, "only") == "differences"

    def query(connection: Connection, caller: Caller, row: Row[Any]) -> Values:
        other = None if against is None else runs.run_row(connection, caller, against)
        found = lines(
            read(connection, row), None if other is None else read(connection, other), compared=other is not None
        )
        return {
            **_choice(connection, caller, row, tab),
            "lines": [line for line in found if line.differs] if only and other is not None else found,
            "differing": sum(line.differs for line in found) if other is not None else 0,
            "other": None if other is None else look.run_object(other),
            "names": {} if other is None else told_apart((one.id, one.name) for one in (row, other)),
            "only": only,
            "label": label,
        }

    return await run_page(request, "run_table.html", query)


def _choice(connection: Connection, caller: Caller, row: Row[Any], tab: str) -> Values:
    """The runs that this one can be compared with in a tab, and none of them chosen."""
    listed, _ = overview.find_runs(connection, caller, overview.Asked(size=_OTHERS), 0)
    names = told_apart((one.id, one.name) for one in (row, *listed))
    others = [{"label": names[one.id], "run": one} for one in listed if one.id != row.id]
    return {"table": tab, "others": others, "other": None, "only": False, "differing": 0}


def _config(_connection: Connection, row: Row[Any]) -> Any:
    return look.run_object(row)["config"]


def _environment(connection: Connection, row: Row[Any]) -> Any:
    """The newest of the environments that a run was in."""
    found = look.named_artifacts(connection, row.pk, "environment")
    return found[-1]["data"] if found else None


def _artifacts(connection: Connection, row: Row[Any]) -> Any:
    """The newest of each name, among those that arrived last."""
    found = look.newest_artifacts(connection, row.pk, _MOST_COMPARED)
    return {one["name"]: one["data"] for one in found}


def _links(_connection: Connection, row: Row[Any]) -> Any:
    run = look.run_object(row)
    told = ("client_run_id", "id", "hf_model", "hf_model_revision", "hf_dataset", "hf_dataset_split")
    return {name: run[name] for name in told if run[name] is not None}


@shown
async def config(request: Request) -> Response:
    return await _table(request, "config", "Config", _config)


@shown
async def environment(request: Request) -> Response:
    return await _table(request, "environment", "Environment", _environment)


@shown
async def artifacts(request: Request) -> Response:
    if wanted(request, "with") is not None:
        return await _table(request, "artifacts", "Artifacts", _artifacts)
    asked = page_of(request)

    def query(connection: Connection, caller: Caller, row: Row[Any]) -> Values:
        found = look.list_artifacts(connection, row.pk, asked)
        return {**_choice(connection, caller, row, "artifacts"), "artifacts": found, "pretty_code": pretty_code}

    return await run_page(request, "run_artifacts.html", query)


@shown
async def links(request: Request) -> Response:
    if wanted(request, "with") is not None:
        return await _table(request, "links", "Links", _links)

    def query(connection: Connection, caller: Caller, row: Row[Any]) -> Values:
        run = look.run_object(row)
        card = model_card(run, look.metric_summary(connection, row.pk))
        front, _, rest = card.partition("---\n\n")
        choice = _choice(connection, caller, row, "links")
        return {**choice, "hub": _hub(run), "card": html_of(rest if front.startswith("---") else card)}

    return await run_page(request, "run_links.html", query)


def _hub(run: Values) -> list[Values]:
    """What the run names on the Hugging Face hub; an address only for names that can be there."""
    named = (("Model", "", "hf_model", "hf_model_revision"), ("Dataset", "datasets/", "hf_dataset", "hf_dataset_split"))
    found = []
    for label, place, name, detail in named:
        if run[name]:
            href = f"https://huggingface.co/{place}{run[name]}" if _SLUG.fullmatch(run[name]) else None
            found.append({"label": label, "name": run[name], "detail": run[detail], "href": href})
    return found
