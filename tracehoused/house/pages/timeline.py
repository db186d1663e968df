"""Spans as rows of a tree with bars on one line of time. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracehoused.house.pages.conversation import seconds

WIDTH = 1000
_DEEPEST = 12
_NARROWEST = 3


@dataclass(frozen=True)
class Row:
    """`x` and `width` are thousandths of the whole time; `offset` and `lasted` seconds, None where not known."""

    n: int
    kind: str
    name: str
    status: str | None
    depth: int
    x: int
    width: int
    offset: float | None
    lasted: float | None


def rows_of(spans: Sequence[Any]) -> list[Row]:
    """`spans`: rows of n, id, kind, name, start_at, end_at, parent_span_id, status. Children follow their parents; a call
    without a length of its own lasts until its result."""
    by_id = {span.id: span for span in spans}
    children: dict[str | None, list[Any]] = {}
    for span in spans:
        parent = span.parent_span_id if span.parent_span_id in by_id else None
        children.setdefault(parent, []).append(span)
    times = {span.n: _times(span, children.get(span.id, [])) for span in spans}
    known = [time for pair in times.values() for time in pair if time is not None]
    begin, end = (min(known), max(known)) if known else (0.0, 0.0)
    rows: list[Row] = []
    waiting = [(span, 0) for span in reversed(children.get(None, []))]
    seen: set[int] = set()
    while waiting:
        span, depth = waiting.pop()
        if span.n in seen:
            continue
        seen.add(span.n)
        rows.append(_row(span, depth, times[span.n], begin, max(end - begin, 1e-9)))
        waiting += [(child, min(depth + 1, _DEEPEST)) for child in reversed(children.get(span.id, []))]
    # Spans that are each other's parents hang from nothing.
    lost = [span for span in spans if span.n not in seen]
    return rows + [_row(span, 0, times[span.n], begin, max(end - begin, 1e-9)) for span in lost]


def _times(span: Any, children: list[Any]) -> tuple[float | None, float | None]:
    begun, ended = seconds(span.start_at), seconds(span.end_at)
    if span.kind == "tool_use" and (ended is None or ended == begun):
        results = [seconds(child.end_at or child.start_at) for child in children if child.kind == "tool_result"]
        ended = max([time for time in results if time is not None], default=ended)
    return begun, begun if ended is None or (begun is not None and ended < begun) else ended


def _row(span: Any, depth: int, times: tuple[float | None, float | None], begin: float, whole: float) -> Row:
    begun, ended = times
    if begun is None or ended is None:
        return Row(span.n, span.kind, span.name, span.status, depth, 0, 0, None, None)
    x = min(round((begun - begin) / whole * WIDTH), WIDTH - _NARROWEST)
    width = max(round((ended - begun) / whole * WIDTH), _NARROWEST)
    took = ended - begun if ended > begun else None
    return Row(span.n, span.kind, span.name, span.status, depth, x, min(width, WIDTH - x), begun - begin, took)
