"""OTLP's JSON encoding: attributes, spans, requests. Pure.

Ids are hexadecimal (32 and 16 digits), 64-bit numbers decimal texts, enumerations numbers, names in lowerCamelCase, as the
OTLP specification has it for JSON. One request is one line, which the collector's file receivers read as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any

__all__ = ["CLIENT", "INTERNAL", "Resource", "Span", "attributes", "request", "span", "span_id", "trace_id"]

Span = dict[str, Any]
Resource = Mapping[str, Any]

INTERNAL, CLIENT = 1, 3
_ERROR = 2
_INT64 = 1 << 63


def trace_id(uid: str, session_id: str) -> str:
    """32 hex digits, the same at every export."""
    return _digest(uid, session_id)[:32]


def span_id(uid: str, session_id: str, span: str) -> str:
    """16 hex digits, the same at every export; ``span`` is "" for the root."""
    return _digest(uid, session_id, span)[:16]


def _digest(*parts: str) -> str:
    return sha256(json.dumps(parts).encode()).hexdigest()


def span(
    ids: tuple[str, str, str | None],
    name: str,
    kind: int,
    times: tuple[int, int],
    told: Mapping[str, Any],
    error: str | None = None,
) -> Span:
    """One span. ``ids``: of the trace, its own, its parent's; ``times``: begin and end in ns; ``error``: why it failed, None if it did
    not; what is None in ``told`` is left out."""
    trace, own, parent = ids
    begin, end = times
    made: Span = {
        "traceId": trace,
        "spanId": own,
        "name": _clean(name) or "span",
        "kind": kind,
        "startTimeUnixNano": str(max(begin, 0)),
        "endTimeUnixNano": str(max(end, begin, 0)),
        "attributes": attributes(told),
    }
    if parent is not None:
        made["parentSpanId"] = parent
    if error is not None:
        made["status"] = {"code": _ERROR, "message": _clean(error)}
    return made


def attributes(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Key and value pairs: texts, booleans, numbers and lists of texts as such, objects and other lists as JSON text."""
    return [{"key": _clean(key), "value": _value(value)} for key, value in told.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": _clean(value)}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -_INT64 <= value < _INT64 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": _clean(json.dumps(value, ensure_ascii=False))}


def _clean(text: str) -> str:
    """Without lone surrogates, which protobuf's strings cannot hold."""
    return text.encode("utf-8", "replace").decode()


def request(version: str, spans: Iterable[tuple[Resource, Span]]) -> bytes:
    """The body of one ``POST /v1/traces``. Each span comes with what is said of where it is from; ``version`` is this program's."""
    scope = {"name": "tracehouse", "version": version}
    body = [
        {
            "resource": {"attributes": attributes(resource)},
            "scopeSpans": [{"scope": scope, "spans": [span for _, span in pairs]}],
        }
        for resource, pairs in groupby(spans, key=itemgetter(0))
    ]
    return json.dumps({"resourceSpans": body}, separators=(",", ":"), ensure_ascii=False).encode()
