"""Every point of series within steps and times, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, select, tuple_

from tracehoused.house.store.schema import odd_values, points


class Cut(NamedTuple):
    """Bounds, both inclusive: steps, and times in microseconds; None where there is none."""

    first: int | None = None
    last: int | None = None
    since: int | None = None
    until: int | None = None


class Line(NamedTuple):
    """A series and what names it."""

    run: str
    run_id: str
    key: str
    attempt: int
    writer: str
    series: int

    @property
    def named(self) -> tuple[Any, ...]:
        return self[:5]


def points_of(
    connection: Connection, series: int, cut: Cut, limit: int, after: tuple[int, int] | None
) -> Sequence[Row[Any]]:
    """Rows with `step`, `n`, `us`, `value` and `json`, by step and arrival; `after`: the (step, n) of the last page's end."""
    same = and_(*(odd_values.c[name] == points.c[name] for name in ("series", "step", "n")))
    query = select(points, odd_values.c.json).select_from(points.outerjoin(odd_values, same))
    query = query.where(points.c.series == series)
    if after is not None:
        query = query.where(tuple_(points.c.step, points.c.n) > after)
    for column, least, most in ((points.c.step, cut.first, cut.last), (points.c.us, cut.since, cut.until)):
        if least is not None:
            query = query.where(column >= least)
        if most is not None:
            query = query.where(column <= most)
    return connection.execute(query.order_by(points.c.step, points.c.n).limit(limit)).all()
