"""Reading a trace's spans for its pages: a part of the conversation, one span, those that hold a word, their outline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select

from tracehoused.house.store.look import like_pattern, span_text
from tracehoused.house.store.schema import spans
from tracehoused.house.values import micros

Object = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A part of a conversation: (place, span)…, and the `after` of the parts before and behind it, None at the ends."""

    spans: list[tuple[int, Object]]
    before: int | None
    after: int | None


def _loaded(session_id: str, rows: list[Row[Any]]) -> list[tuple[int, Object]]:
    return [(row.n, json.loads(span_text(session_id, row))) for row in rows]


def part(connection: Connection, trace: Row[Any], after: int, limit: int) -> Part:
    """At most `limit` spans behind the place `after`."""
    mine = select(spans).where(spans.c.trace == trace.pk)
    rows = list(connection.execute(mine.where(spans.c.n > after).order_by(spans.c.n).limit(limit + 1)))
    following = rows[limit - 1].n if len(rows) > limit else None
    return Part(_loaded(trace.session_id, rows[:limit]), _back(connection, trace.pk, after, limit), following)


def _back(connection: Connection, trace: int, after: int, limit: int) -> int | None:
    """The `after` of the part that ends at the place `after`."""
    before = select(spans.c.n).where(spans.c.trace == trace, spans.c.n <= after).order_by(spans.c.n.desc())
    places = list(connection.execute(before.limit(limit + 1)).scalars())
    if not places:
        return None
    return places[-1] if len(places) > limit else 0


def around(connection: Connection, trace: int, place: int, lead: int) -> int:
    """The `after` of a part in which `place` has at most `lead` spans before it."""
    before = select(spans.c.n).where(spans.c.trace == trace, spans.c.n < place).order_by(spans.c.n.desc())
    places = list(connection.execute(before.limit(lead + 1)).scalars())
    return places[-1] if len(places) > lead else 0


def one(connection: Connection, trace: Row[Any], place: int) -> Object | None:
    row = connection.execute(select(spans).where(spans.c.trace == trace.pk, spans.c.n == place)).first()
    return None if row is None else dict(json.loads(span_text(trace.session_id, row)))


def holds(word: str) -> ColumnElement[bool]:
    """Whether a span's name or attributes, which are ASCII JSON, hold `word`."""
    escaped = json.dumps(word)[1:-1]
    return or_(
        func.lower(spans.c.name).like(like_pattern(word.lower()), escape="\\"),
        func.lower(spans.c.attributes).like(like_pattern(escaped.lower()), escape="\\"),
    )


def with_word(connection: Connection, trace: Row[Any], word: str, limit: int) -> tuple[list[tuple[int, Object]], int]:
    """The first `limit` spans whose name or attributes hold `word`, and how many there are."""

    def of(query: Select[Any]) -> Select[Any]:
        return query.where(spans.c.trace == trace.pk, holds(word))

    rows = list(connection.execute(of(select(spans)).order_by(spans.c.n).limit(limit)))
    total = len(rows) if len(rows) < limit else connection.execute(of(select(func.count()))).scalar_one()
    return _loaded(trace.session_id, rows), total


def outline(connection: Connection, trace: int, limit: int) -> list[Row[Any]]:
    """The first `limit` spans as rows of n, id, kind, name, start_at, end_at, parent_span_id, status."""
    names = ("n", "id", "kind", "name", "start_at", "end_at", "parent_span_id", "status")
    query = select(*(spans.c[name] for name in names)).where(spans.c.trace == trace)
    return list(connection.execute(query.order_by(spans.c.n).limit(limit)))


def took(connection: Connection, trace: Row[Any]) -> float | None:
    """Seconds from a trace's start to the end of its last span; None where there is none, or where clocks disagree."""
    last = select(spans.c.start_at, spans.c.end_at).where(spans.c.trace == trace.pk).order_by(spans.c.n.desc()).limit(1)
    row = connection.execute(last).first()
    try:
        took_us = None if row is None else micros(row.end_at or row.start_at) - micros(trace.started_at)
    except (ValueError, OverflowError):
        return None
    return None if took_us is None or took_us < 0 else took_us / 1_000_000
