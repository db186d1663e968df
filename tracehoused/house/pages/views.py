"""The pages that show what the house holds."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.identify import reader
from tracehoused.house.api.read import page_of
from tracehoused.house.errors import Refusal
from tracehoused.house.pages.render import page
from tracehoused.house.state import house_of
from tracehoused.house.store import look, runs, traces
from tracehoused.house.store.look import Page
from tracehoused.house.store.once import Caller

Query = Callable[[Connection, Caller], dict[str, Any]]
_ROLES = {
    "user_msg": "User",
    "assistant_msg": "Assistant",
    "tool_use": "Tool call",
    "tool_result": "Tool result",
    "thinking": "Thinking",
    "attachment": "Attachment",
}
_SURFACED = frozenset({"text", "result_text", "tool_input"})


def _shown(view: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A refusal in a page is a page."""

    async def show(request: Request) -> Response:
        try:
            return await view(request)
        except Refusal as refusal:
            if refusal.status == 401:
                return page("signin.html", 401, problem=None)
            return page("problem.html", refusal.status, message=refusal.message)

    return show


async def _values(request: Request, query: Query) -> dict[str, Any]:
    caller = await reader(request)
    return await run_in_threadpool(house_of(request).store.read, lambda connection: query(connection, caller))


@_shown
async def all_runs(request: Request) -> Response:
    asked = page_of(request)
    return page(
        "runs.html",
        **await _values(request, lambda connection, caller: {"runs": look.list_runs(connection, caller, asked)}),
    )


@_shown
async def all_traces(request: Request) -> Response:
    asked = page_of(request)

    def query(connection: Connection, caller: Caller) -> dict[str, Any]:
        return {"traces": look.list_traces(connection, caller, asked, rollouts=False)}

    return page("traces.html", **await _values(request, query))


@_shown
async def run(request: Request) -> Response:
    asked = page_of(request)

    def query(connection: Connection, caller: Caller) -> dict[str, Any]:
        row = runs.run_row(connection, caller, request.path_params["id"])
        return {
            "run": look.run_object(row),
            "metrics": look.metric_summary(connection, row.pk),
            "media": look.list_media(connection, row.pk, Page(60)),
            "artifacts": look.list_artifacts(connection, row.pk, Page(60)),
            "rollouts": look.list_rollouts(connection, caller, row.pk, asked),
        }

    return page("run.html", **await _values(request, query))


@_shown
async def trace(request: Request) -> Response:
    asked = page_of(request)

    def query(connection: Connection, caller: Caller) -> dict[str, Any]:
        row = traces.trace_row(connection, caller, request.path_params["id"])
        texts, following = look.spans_text(connection, row, asked)
        return {
            "trace": look.one_trace(connection, caller, row.id),
            "spans": [_span(json.loads(text)) for text in texts],
            "following": following,
        }

    return page("trace.html", **await _values(request, query))


def _span(span: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a span: its role, its text, its input, and what else it has."""
    attributes = span["attributes"]
    text = attributes.get("text", attributes.get("result_text"))
    rest = {name: value for name, value in attributes.items() if name not in _SURFACED}
    return {
        "id": span["id"],
        "kind": span["kind"],
        "role": _ROLES[span["kind"]],
        "name": span["name"],
        "at": span["start_at"],
        "text": text if text is None or isinstance(text, str) else json.dumps(text, ensure_ascii=False),
        "input": attributes.get("tool_input"),
        "rest": rest,
        "raw": span,
    }
