"""The headers of a request. Pure."""

from __future__ import annotations

import base64

from tracehoused.http.request import Request
from tracehoused.text import header_value

__all__ = ["FIXED", "authorization", "content_digest", "headers_of", "identity_headers"]

FIXED = [("Accept", "application/json"), ("Accept-Encoding", "identity"), ("User-Agent", "tracehoused")]


def content_digest(sha256: str) -> str:
    """As of RFC 9530."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def headers_of(request: Request) -> list[tuple[str, str]]:
    told = [
        ("Content-Type", None if request.body is None else request.content_type),
        ("Idempotency-Key", request.key),
        ("X-Tracehouse-Range", request.range),
        ("X-Tracehouse-Attempt", None if request.attempt is None else str(request.attempt)),
        ("X-Tracehouse-After", request.after),
    ]
    mine = [(name, header_value(value)) for name, value in told if value is not None]
    return [*mine, *((name, header_value(value)) for name, value in request.headers)]


def identity_headers(machine_id: str, hostname: str | None, agent_version: str | None) -> list[tuple[str, str]]:
    told = [
        ("X-Claude-Monitor-Machine-Id", machine_id),
        ("X-Claude-Monitor-Hostname", hostname),
        ("X-Claude-Monitor-Agent-Version", agent_version),
    ]
    return [(name, header_value(value)) for name, value in told if value]


def authorization(token: str | None) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")] if token else []
