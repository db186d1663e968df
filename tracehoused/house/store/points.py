"""Metric points: bulk insertion with rollups and each series' last value, in one transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, insert, select, update

from tracehoused.house.store.dialect import Bulk, run_many
from tracehoused.house.store.expressions import added
from tracehoused.house.store.once import Once
from tracehoused.house.store.schema import odd_values, points, rollups, runs, series
from tracehoused.house.training import Point, Points

# Steps per bucket of each level, as powers of two: 64, 64 × 16, 64 × 16 × 16.
LEVEL_BITS = (6, 10, 14)
_FEW_KEYS = 200

Bucket = list[Any]


_INSERT_POINTS = Bulk(points, ("series", "step", "n", "us", "value"))
_INSERT_ODD = Bulk(odd_values, ("series", "step", "n", "nonfinite", "json"))


def _grow(new: Any) -> dict[str, Any]:
    old = rollups.c
    return {
        "least": case((new.least < old.least, new.least), else_=old.least),
        "most": case((new.most > old.most, new.most), else_=old.most),
        "total": added(old.total, new.total),
        "size": old.size + new.size,
        "first_us": case((new.first_us < old.first_us, new.first_us), else_=old.first_us),
        "last_us": case((new.last_us > old.last_us, new.last_us), else_=old.last_us),
    }


_ROLLUP_COLUMNS = ("series", "level", "bucket", "least", "most", "total", "size", "first_us", "last_us")
_UPSERT_ROLLUP = Bulk(rollups, _ROLLUP_COLUMNS, ("series", "level", "bucket"), _grow)


def put_points(connection: Connection, run: Row[Any], once: Once, batch: Points) -> None:
    """Insert a batch into a run whose row is locked by this transaction."""
    ids = _series_ids(connection, run.pk, once, list(batch.by_key))
    n = run.next_point
    rows: list[tuple[Any, ...]] = []
    odd: list[tuple[Any, ...]] = []
    rolled: list[tuple[Any, ...]] = []
    last: list[dict[str, Any]] = []
    for key, sent in batch.by_key.items():
        series_id = ids[key]
        for step, us, value, json, nonfinite in sent:
            rows.append((series_id, step, n, us, value))
            if value is None:
                odd.append((series_id, step, n, nonfinite, json))
            n += 1
        rolled += roll_up(series_id, sent)
        last.append(_last(series_id, sent))
    run_many(connection, _INSERT_POINTS, rows)
    run_many(connection, _INSERT_ODD, odd)
    run_many(connection, _UPSERT_ROLLUP, rolled)
    if last:
        connection.execute(_UPDATE_LAST, last)
    connection.execute(_NEXT, {"of": run.pk, "n": n})


_NEXT = update(runs).where(runs.c.pk == bindparam("of")).values(next_point=bindparam("n"))
_UPDATE_LAST = (
    update(series)
    .where(series.c.id == bindparam("of"))
    .values(
        size=series.c.size + bindparam("more"),
        last_step=bindparam("step"),
        last_us=bindparam("us"),
        last_value=bindparam("value"),
        last_json=bindparam("json"),
    )
)


def _last(series_id: int, sent: list[Point]) -> dict[str, Any]:
    step, us, value, json, _ = sent[-1]
    return {"of": series_id, "more": len(sent), "step": step, "us": us, "value": value, "json": json}


def _series_ids(connection: Connection, run: int, once: Once, names: list[str]) -> dict[str, int]:
    place: dict[str, Any] = {"of": run, "in_attempt": once.attempt, "by": once.writer}
    query, asked = (_NAMED, {**place, "names": names}) if len(names) <= _FEW_KEYS else (_ALL, place)
    ids = {row.key: row.id for row in connection.execute(query, asked)}
    missing = [name for name in names if name not in ids]
    if missing:
        new = {"run": run, "attempt": once.attempt, "writer": once.writer, "size": 0}
        connection.execute(insert(series), [{**new, "key": name} for name in missing])
        ids.update((row.key, row.id) for row in connection.execute(query, asked))
    return ids


_ALL = select(series.c.key, series.c.id).where(
    series.c.run == bindparam("of"), series.c.attempt == bindparam("in_attempt"), series.c.writer == bindparam("by")
)
_NAMED = _ALL.where(series.c.key.in_(bindparam("names", expanding=True)))


def roll_up(series_id: int, sent: list[Point]) -> list[tuple[Any, ...]]:
    """The rollup rows that `sent` adds: the finest level from the points, each coarser one from the finer."""
    finest: dict[int, Bucket] = {}
    for step, us, value, _, _ in sent:
        if value is None:
            continue
        bucket = finest.get(step >> 6)
        if bucket is None:
            finest[step >> 6] = [value, value, value, 1, us, us]
            continue
        if value < bucket[0]:
            bucket[0] = value
        if value > bucket[1]:
            bucket[1] = value
        bucket[2] += value
        bucket[3] += 1
        if us < bucket[4]:
            bucket[4] = us
        elif us > bucket[5]:
            bucket[5] = us
    rows = []
    for level, bits in enumerate(LEVEL_BITS):
        if level:
            finest = _coarser(finest, bits - LEVEL_BITS[level - 1])
        rows += [(series_id, level, number, *bucket) for number, bucket in finest.items()]
    return rows


def _coarser(fine: dict[int, Bucket], bits: int) -> dict[int, Bucket]:
    coarse: dict[int, Bucket] = {}
    for number, new in fine.items():
        old = coarse.get(number >> bits)
        if old is None:
            coarse[number >> bits] = list(new)
        else:
            joined = (min(old[0], new[0]), max(old[1], new[1]), old[2] + new[2], old[3] + new[3])
            old[:] = [*joined, min(old[4], new[4]), max(old[5], new[5])]
    return coarse
