"""Records as rows of two tables, metrics (long form: one row for each key of each call) and spans. Pure.

=========== ========================================================================================================
metrics     ``session``, ``attempt``, ``key``, ``step``, ``wall_time``, ``value``
spans       ``session`` (of a rollout: its own), ``run`` (of a rollout: its run), ``attempt``, ``id``, ``parent_id``, ``kind``, ``name``,
            ``start_at``, ``end_at``, ``status``, ``text`` (what was said, called or answered), ``attributes`` (JSON)
=========== ========================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tracehouse.spool.manifest import Manifest
from tracehoused.export.records import Entry

__all__ = ["COLUMNS", "plain_number", "rows", "text_of"]

COLUMNS = {
    "metrics": ("session", "attempt", "key", "step", "wall_time", "value"),
    "spans": (
        "session", "run", "attempt", "id", "parent_id", "kind", "name", "start_at", "end_at", "status", "text", "attributes",
    ),
}  # fmt: skip


def rows(what: str, manifest: Manifest, entries: Iterable[Entry]) -> Iterator[tuple[Any, ...]]:
    """The rows of "metrics" or "spans", in the order of the records; values are as JSON gave them, NaN and infinities as floats."""
    make = _metric_rows if what == "metrics" else _span_rows
    wanted = "metrics" if what == "metrics" else "span"
    for entry in entries:
        if entry.type == wanted:
            yield from make(manifest, entry)


def _metric_rows(manifest: Manifest, entry: Entry) -> Iterator[tuple[Any, ...]]:
    fields = entry.fields
    values = fields.get("values")
    for key, value in values.items() if isinstance(values, dict) else ():
        yield manifest.id, entry.attempt, key, fields.get("step"), fields.get("wall_time"), plain_number(value)


def _span_rows(manifest: Manifest, entry: Entry) -> Iterator[tuple[Any, ...]]:
    span = entry.fields
    attributes = span.get("attributes")
    yield (
        span.get("session_id") or manifest.id,
        manifest.id if manifest.kind == "run" else None,
        entry.attempt,
        *(span.get(name) for name in ("id", "parent_span_id", "kind", "name", "start_at", "end_at", "status")),
        text_of(attributes),
        json.dumps(attributes, ensure_ascii=False) if attributes else None,
    )


def text_of(attributes: object) -> str | None:
    """What a span says: its ``text`` or ``result_text``, as text."""
    if not isinstance(attributes, dict):
        return None
    said = attributes.get("text", attributes.get("result_text"))
    return said if said is None or isinstance(said, str) else json.dumps(said, ensure_ascii=False)


def plain_number(value: Any) -> Any:
    """NaN and infinities, which JSON holds as tagged objects, as floats; all else as it is."""
    if isinstance(value, dict) and value.get("_type") == "number":
        try:
            return float(value["value"])
        except (KeyError, TypeError, ValueError):
            return value
    return value
