"""What lists and heads of pages show of runs: how they are doing, their last values, what there is to see of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

from tracehoused.house.store.expressions import in_order
from tracehoused.house.store.look import like_pattern
from tracehoused.house.store.once import Caller
from tracehoused.house.store.schema import artifacts, media, runs, series, traces
from tracehoused.house.values import micros

SYSTEM = "system/"
# A run that logs rarely is given more time; five of its own usual pauses.
_STALLED_US = 5 * 60 * 1_000_000
_PAUSES = 5
_MOST_KEYS = 200


@dataclass(frozen=True)
class Signs:
    """What tells how a run is doing. `last_us`: the time of its newest point, or of the house's last word of it."""

    last_us: int
    points: int


@dataclass(frozen=True)
class Asked:
    """Which runs: filters, order (`by` a column's name, "duration" or "metric:KEY"), and which page of `size` rows."""

    project: str | None = None
    like: str | None = None
    status: str | None = None
    by: str = "started"
    descending: bool = True
    page: int = 1
    size: int = 100


def state_of(run: Row[Any], signs: Signs, now_us: int) -> str:
    """A run's status, or "stalled" where it should be running but nothing has come for long."""
    if run.status != "running":
        return str(run.status)
    lived = signs.last_us - (_us(run.started_at) or signs.last_us)
    pause = lived // signs.points if signs.points > 1 else 0
    return "stalled" if now_us - signs.last_us > max(_STALLED_US, _PAUSES * pause) else "running"


def lasted(run: Row[Any], signs: Signs, now_us: int, state: str) -> float | None:
    """Seconds from a run's start to its end, to now while it runs, or to its last sign where it stalled."""
    began = _us(run.started_at)
    ended = _us(run.ended_at)
    if ended is None:
        ended = now_us if state == "running" else signs.last_us
    return None if began is None else (ended - began) / 1_000_000


def _us(text: str | None) -> int | None:
    try:
        return None if text is None else micros(text)
    except (ValueError, OverflowError):
        return None


def signs_of(connection: Connection, found: Sequence[Row[Any]]) -> dict[int, Signs]:
    """By run: rows that have `pk` and `updated_us`."""
    seen = {row.pk: Signs(row.updated_us, 0) for row in found}
    query = select(series.c.run, func.max(series.c.last_us).label("last"), func.max(series.c.size).label("size"))
    for at in range(0, len(found), 500):
        part = [row.pk for row in found[at : at + 500]]
        for row in connection.execute(query.where(series.c.run.in_(part)).group_by(series.c.run)):
            seen[row.run] = Signs(max(row.last or 0, seen[row.run].last_us), row.size)
    return seen


def _seen_by(caller: Caller) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [runs.c.deleted_us.is_(None)]
    return conditions if caller.owner else [*conditions, runs.c.identity == caller.identity]


_COLUMNS = {"name": runs.c.name, "project": runs.c.project, "machine": runs.c.machine, "points": runs.c.next_point}


def find_runs(connection: Connection, caller: Caller, asked: Asked, now_us: int) -> tuple[list[Row[Any]], int]:
    """The rows of one page, in order, and how many there are on all pages."""
    where = _seen_by(caller)
    if asked.project is not None:
        where.append(runs.c.project == asked.project)
    if asked.status is not None:
        where.append(runs.c.status == ("running" if asked.status == "stalled" else asked.status))
    if asked.like:
        names = (runs.c.name, runs.c.client_run_id, runs.c.machine)
        where.append(or_(*(name.ilike(like_pattern(asked.like), escape="\\") for name in names)))
    skipped = (asked.page - 1) * asked.size
    if asked.status not in ("running", "stalled") and (asked.by in _COLUMNS or asked.by == "started"):
        order = _COLUMNS.get(asked.by, runs.c.pk)
        ordered = [in_order(column, descending=asked.descending) for column in (order, runs.c.pk)]
        rows = connection.execute(select(runs).where(*where).order_by(*ordered).limit(asked.size).offset(skipped)).all()
        return list(rows), connection.execute(select(func.count()).where(*where)).scalar_one()
    pks = _in_order(connection, where, asked, now_us)
    part = pks[skipped : skipped + asked.size]
    by_pk = {row.pk: row for row in connection.execute(select(runs).where(runs.c.pk.in_(part)))}
    return [by_pk[pk] for pk in part], len(pks)


def _in_order(connection: Connection, where: list[ColumnElement[bool]], asked: Asked, now_us: int) -> list[int]:
    """What no column tells is worked out for every run that fits: few fields of each."""
    few = (runs.c.pk, runs.c.status, runs.c.started_at, runs.c.ended_at, runs.c.updated_us, *_COLUMNS.values())
    found = connection.execute(select(*few).where(*where).order_by(runs.c.pk.desc())).all()
    signs = signs_of(connection, found)
    states = {row.pk: state_of(row, signs[row.pk], now_us) for row in found}
    if asked.status is not None:
        found = [row for row in found if states[row.pk] == asked.status]
    if asked.by == "duration":
        value: dict[int, Any] = {row.pk: lasted(row, signs[row.pk], now_us, states[row.pk]) for row in found}
    elif asked.by == "status":
        value = dict(states)
    elif asked.by.startswith("metric:"):
        value = _last_of(connection, where, asked.by.partition(":")[2])
    else:
        value = {row.pk: getattr(row, _COLUMNS[asked.by].name) if asked.by in _COLUMNS else row.pk for row in found}
    known = [row.pk for row in found if value.get(row.pk) is not None]
    known.sort(key=lambda pk: (value[pk], pk), reverse=asked.descending)
    return known + [row.pk for row in found if value.get(row.pk) is None]


def _last_of(connection: Connection, where: list[ColumnElement[bool]], key: str) -> dict[int, float]:
    query = select(series.c.run, series.c.last_value).join(runs, runs.c.pk == series.c.run)
    query = query.where(*where, series.c.key == key).order_by(series.c.last_us)
    return {row.run: row.last_value for row in connection.execute(query) if row.last_value is not None}


def projects(connection: Connection, caller: Caller) -> list[str]:
    query = select(runs.c.project).where(*_seen_by(caller), runs.c.project.is_not(None)).distinct()
    return sorted(connection.execute(query).scalars())


def metric_keys(connection: Connection, pks: Sequence[int]) -> list[str]:
    """The metrics that most of these runs have, system metrics left out; at most 200."""
    query = select(series.c.key, func.count(series.c.run.distinct()).label("many")).where(series.c.run.in_(pks))
    query = query.where(series.c.key.not_like(f"{SYSTEM}%")).group_by(series.c.key)
    rows = connection.execute(
        query.order_by(func.count(series.c.run.distinct()).desc(), series.c.key).limit(_MOST_KEYS)
    )
    return [row.key for row in rows]


def last_values(connection: Connection, pks: Sequence[int], keys: Sequence[str]) -> dict[tuple[int, str], Row[Any]]:
    """The newest point of each run and key, as a row with `last_value`, `last_json` and `last_step`."""
    query = select(series).where(series.c.run.in_(pks), series.c.key.in_(keys)).order_by(series.c.last_us)
    return {(row.run, row.key): row for row in connection.execute(query)}


def counts(connection: Connection, run: int) -> dict[str, int]:
    """How many charts, media, rollouts and artifacts a run has."""
    asked = {
        "charts": select(func.count(series.c.key.distinct())).where(series.c.run == run),
        "media": select(func.count()).where(media.c.run == run),
        "rollouts": select(func.count()).where(traces.c.run == run, traces.c.deleted_us.is_(None)),
        "artifacts": select(func.count()).where(artifacts.c.run == run),
    }
    return {name: connection.execute(query).scalar_one() for name, query in asked.items()}
