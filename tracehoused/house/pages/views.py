"""The list of traces, and a trace."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import page_of
from tracehoused.house.pages.answer import look_up, shown
from tracehoused.house.pages.render import page
from tracehoused.house.store import look, traces
from tracehoused.house.store.once import Caller

_ROLES = {
    "user_msg": "User",
    "assistant_msg": "Assistant",
    "tool_use": "Tool call",
    "tool_result": "Tool result",
    "thinking": "Thinking",
    "attachment": "Attachment",
}
_SURFACED = frozenset({"text", "result_text", "tool_input"})


@shown
async def all_traces(request: Request) -> Response:
    asked = page_of(request)

    def query(connection: Connection, caller: Caller) -> dict[str, Any]:
        return {"traces": look.list_traces(connection, caller, asked, rollouts=False)}

    return page("traces.html", **await look_up(request, query))


@shown
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

    return page("trace.html", **await look_up(request, query))


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
