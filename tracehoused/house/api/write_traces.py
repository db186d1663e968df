"""`POST /v1/traces`, `POST /v1/spans`, `PATCH` and `DELETE /v1/traces/<id>`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house import chat
from tracehoused.house.api.change import Change, change_json
from tracehoused.house.store import traces


async def post_trace(request: Request) -> Response:
    def apply(connection: Connection, change: Change[chat.NewTrace]) -> dict[str, Any]:
        trace_id, created = traces.put_trace(connection, change.caller, change.body, change.now_us)
        return {"id": trace_id, "created": created}

    def known(connection: Connection, change: Change[chat.NewTrace]) -> dict[str, Any]:
        trace_id = traces.find_trace(connection, change.caller, change.body.session_id)
        return apply(connection, change) if trace_id is None else {"id": trace_id, "created": False}

    return await change_json(request, "traces", lambda body, _: chat.new_trace(body), apply, known)


async def post_spans(request: Request) -> Response:
    def apply(connection: Connection, change: Change[chat.SpanBatch]) -> dict[str, Any]:
        made = traces.put_spans(connection, change.caller, change.body, change.now_us)
        answer: dict[str, Any] = {"ingested": change.body.count, "dropped": 0}
        return {**answer, "traces": made} if made else answer

    def known(_connection: Connection, change: Change[chat.SpanBatch]) -> dict[str, Any]:
        return {"ingested": change.body.count, "dropped": 0}

    return await change_json(request, "spans", lambda body, _: chat.span_batch(body), apply, known)


async def patch_trace(request: Request) -> Response:
    trace_id = request.path_params["id"]

    def apply(connection: Connection, change: Change[chat.TracePatch]) -> dict[str, Any]:
        traces.patch_trace(connection, change.caller, trace_id, change.body, change.now_us)
        return {"id": trace_id}

    def known(connection: Connection, change: Change[chat.TracePatch]) -> dict[str, Any]:
        traces.trace_row(connection, change.caller, trace_id)
        return {"id": trace_id}

    return await change_json(request, "trace_patch", lambda body, _: chat.trace_patch(body), apply, known)
