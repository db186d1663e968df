"""Reading metric points: every one, in pages, or at most n buckets that keep each minimum and maximum."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select, tuple_

from tracehoused.house.store.expressions import mean
from tracehoused.house.store.points import LEVEL_BITS
from tracehoused.house.store.schema import odd_values, points, rollups, series
from tracehoused.house.values import iso

Object = dict[str, Any]
Cursor = tuple[int, int, int]
_MOST_MARKS = 1000


def find_series(connection: Connection, run: int, keys: list[str]) -> list[Row[Any]]:
    """A run's series, all or those of the given keys, in the order in which they began."""
    query = select(series).where(series.c.run == run)
    if keys:
        query = query.where(series.c.key.in_(keys))
    return list(connection.execute(query.order_by(series.c.id)))


def numbered_series(connection: Connection, found: list[int], numbers: list[int]) -> list[Row[Any]]:
    """Those of the series of these runs (by `pk`) that have one of these numbers, in the order in which they began."""
    query = select(series).where(series.c.run.in_(found), series.c.id.in_(numbers))
    return list(connection.execute(query.order_by(series.c.id)))


def raw_points(
    connection: Connection, found: list[Row[Any]], limit: int, after: Cursor | None
) -> tuple[dict[int, list[str]], Cursor | None]:
    """For each series number its points as JSON texts `[step, value, "time"]`, by step and arrival, and the cursor of
    the next page: (series, step, n)."""
    texts: dict[int, list[str]] = {}
    left = limit
    at: Cursor | None = None
    for row in found:
        if after is not None and row.id < after[0]:
            continue
        rows = connection.execute(_points_of(row.id, after, left + 1)).all()
        texts[row.id] = [_point_text(point) for point in rows[:left]]
        if len(rows) > left:
            last = rows[left - 1] if left else None
            return texts, (row.id, last.step, last.n) if last is not None else at
        if rows:
            at = (row.id, rows[-1].step, rows[-1].n)
        left -= len(rows)
    return texts, None


def _points_of(series_id: int, after: Cursor | None, limit: int) -> Select[Any]:
    same = and_(*(odd_values.c[name] == points.c[name] for name in ("series", "step", "n")))
    query = select(points, odd_values.c.json).select_from(points.outerjoin(odd_values, same))
    query = query.where(points.c.series == series_id)
    if after is not None and after[0] == series_id:
        query = query.where(tuple_(points.c.step, points.c.n) > (after[1], after[2]))
    return query.order_by(points.c.step, points.c.n).limit(limit)


def _point_text(row: Row[Any]) -> str:
    value = number_text(row.value) if row.value is not None else row.json
    return f'[{row.step},{value},"{iso(row.us)}"]'


def number_text(value: float) -> str:
    """A whole number without its `.0`, as most were sent."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def buckets(connection: Connection, series_id: int, wanted: int, first: int | None, last: int | None) -> Object:
    """At most `wanted` buckets and one between the steps first and last, both inclusive, each [step, end step, min, max,
    mean, count, first time µs, last time µs], and where values were not finite: [[step, name], …], at most 1,000."""
    bounds = _bounds(connection, series_id, first, last)
    if bounds is None:
        return {"buckets": [], "nonfinite": _marks(connection, series_id, first, last)}
    low, high = bounds
    width = max(1, -(-(high - low + 1) // wanted))
    level = max((at for at, bits in enumerate(LEVEL_BITS) if 1 << bits <= width), default=None)
    rows = _from_points(connection, series_id, low, high, width) if level is None else None
    if rows is None:
        rows = _from_rollups(connection, series_id, low, high, width, level or 0)
    return {"buckets": rows, "nonfinite": _marks(connection, series_id, first, last)}


def _bounds(connection: Connection, series_id: int, first: int | None, last: int | None) -> tuple[int, int] | None:
    query = select(func.min(points.c.step)).where(points.c.series == series_id)
    low = connection.execute(query if first is None else query.where(points.c.step >= first)).scalar()
    query = select(func.max(points.c.step)).where(points.c.series == series_id)
    high = connection.execute(query if last is None else query.where(points.c.step <= last)).scalar()
    return None if low is None or high is None or low > high else (low, high)


def _floor_div(column: Any, width: int, low: int) -> Any:
    # Never negative here, so that every database's division rounds the same way.
    return (column - low) // width


def _from_points(connection: Connection, series_id: int, low: int, high: int, width: int) -> list[list[Any]]:
    number = _floor_div(points.c.step, width, low)
    query = (
        select(
            func.min(points.c.step),
            func.max(points.c.step),
            func.min(points.c.value),
            func.max(points.c.value),
            mean(points.c.value),
            func.count(points.c.value),
            func.min(points.c.us),
            func.max(points.c.us),
        )
        .where(points.c.series == series_id, points.c.step.between(low, high), points.c.value.is_not(None))
        .group_by(number)
        .order_by(number)
    )
    return [list(row) for row in connection.execute(query)]


def _from_rollups(
    connection: Connection, series_id: int, low: int, high: int, width: int, level: int
) -> list[list[Any]]:
    """Buckets of whole rollups: the outermost may reach a rollup's width beyond low and high."""
    bits = LEVEL_BITS[level]
    begin, per = low >> bits, -(-width >> bits)
    number = _floor_div(rollups.c.bucket, per, begin)
    query = (
        select(
            func.min(rollups.c.bucket),
            func.max(rollups.c.bucket),
            func.min(rollups.c.least),
            func.max(rollups.c.most),
            func.sum(rollups.c.total),
            func.sum(rollups.c.size),
            func.min(rollups.c.first_us),
            func.max(rollups.c.last_us),
        )
        .where(rollups.c.series == series_id, rollups.c.level == level)
        .where(rollups.c.bucket.between(begin, high >> bits))
        .group_by(number)
        .order_by(number)
    )
    rows = []
    for from_, to, least, most, total, count, first_us, last_us in connection.execute(query):
        middle = None if total is None else total / int(count)
        rows.append([from_ << bits, ((to + 1) << bits) - 1, least, most, middle, int(count), first_us, last_us])
    return rows


def _marks(connection: Connection, series_id: int, first: int | None, last: int | None) -> list[list[Any]]:
    odd = odd_values.c
    query = select(odd.step, odd.json).where(odd.series == series_id, odd.nonfinite == 1)
    if first is not None:
        query = query.where(odd.step >= first)
    if last is not None:
        query = query.where(odd.step <= last)
    rows = connection.execute(query.order_by(odd.step).limit(_MOST_MARKS))
    return [[row.step, row.json.split('"')[-2]] for row in rows]
