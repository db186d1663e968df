"""Answers in JSON that survive any text."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.errors import Refusal


def json_text(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(text.encode("ascii"), status, headers, media_type="application/json")


def json_answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """ASCII JSON: a lone surrogate has no UTF-8 form, but it has an escape."""
    return json_text(json.dumps(body, separators=(",", ":")), status, headers)


def refusal_answer(refusal: Refusal) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    return json_answer(refusal.body(), refusal.status, headers)


async def on_refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return refusal_answer(error)
