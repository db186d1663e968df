"""Spans by their ids. Each has a place in its conversation: `text.place_of` its id, or, where another span has that, the next that is
free. So a span is found by its id in an index of small numbers, and what it found is compared with the whole id.

A conversation loses its spans only when it goes for good, so no place before a span's own is ever free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Text, bindparam, func, select

from tracehoused.house.store.dialect import Bulk, run_many
from tracehoused.house.store.schema import spans

__all__ = ["put"]

_COLUMNS = (
    "trace",
    "id",
    "kind",
    "name",
    "start_at",
    "end_at",
    "parent_span_id",
    "status",
    "attributes",
    "extra",
    "place",
)
_REPLACED = ("kind", "name", "start_at", "attributes")
_KEPT_IF_ABSENT = ("end_at", "parent_span_id", "status", "extra")


def _changes(new: Any) -> dict[str, Any]:
    kept = {name: func.coalesce(new[name], spans.c[name]) for name in _KEPT_IF_ABSENT}
    return {**{name: new[name] for name in _REPLACED}, **kept}


_UPSERT = Bulk(spans, _COLUMNS, ("trace", "place"), _changes, same=("id",))
_OTHER = spans.c.id != bindparam("asked", type_=Text)  # which is in its stored form already
_HOLDER = select(spans.c.n).where(spans.c.trace == bindparam("of"), spans.c.place == bindparam("at"), _OTHER)


def put(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert spans in their order, and change those that are there: (trace's number, stored id, kind, name, start_at, end_at,
    parent_span_id, status, attributes, extra, `place_of` the id)."""
    while rows and run_many(connection, _UPSERT, rows) < len(rows):
        rows = [(*row[:-1], row[-1] + 1) for row in rows if _is_displaced(connection, row)]


def _is_displaced(connection: Connection, row: tuple[Any, ...]) -> bool:
    return connection.execute(_HOLDER, {"of": row[0], "at": row[-1], "asked": row[1]}).first() is not None
