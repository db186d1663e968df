"""A run's rollouts by step, group and reward."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, null, select

from tracehoused.house.store.expressions import mean
from tracehoused.house.store.look import Object, trace_object, visible_traces
from tracehoused.house.store.once import Caller
from tracehoused.house.store.schema import traces
from tracehoused.house.values import INT64

BINS = 12
COLUMNS = 120
SAMPLES = 200
GROUPS = 200
# Beyond this, rewards are added in a unit of their own: their sum might be more than a double holds.
_LARGE, _UNIT = 1e290, 2.0**60


@dataclass(frozen=True)
class Spread:
    """How the rewards of a run lie. `cells`: (column, bin, count), bin None where there is no reward; `columns`: for each
    column (first step, last step, count, mean); `low` and `high`: the least and the greatest reward, or what is around
    where they are one."""

    columns: list[tuple[int, int, int, float | None]]
    cells: list[tuple[int, int | None, int]]
    low: float
    high: float


@dataclass(frozen=True)
class Near:
    """Steps around one: `chosen` is it, or the last there is."""

    chosen: int
    before: int | None
    after: int | None
    first: int
    last: int


def _of_run(run: int) -> list[ColumnElement[bool]]:
    return [traces.c.run == run, traces.c.rollout_step.is_not(None), traces.c.deleted_us.is_(None)]


def spread(connection: Connection, run: int) -> Spread | None:
    """None where the run has no rollouts with a step. Two walks through an index, however the rewards lie."""
    step, reward = traces.c.rollout_step, traces.c.reward
    first, last = _end(connection, run, step), _end(connection, run, step.desc())
    if first is None or last is None:
        return None
    width = max(1, -(-(last - first + 1) // COLUMNS))
    low, high = connection.execute(select(func.min(reward), func.max(reward)).where(*_of_run(run))).one()
    low, high = (0.0, 1.0) if low is None else (float(low), float(high))
    if high == low:
        low, high = _around(low)
    is_large = max(-low, high) > _LARGE
    # Nothing but comparisons: a database refuses what its arithmetic cannot hold.
    edges = [between(low, high, at / BINS) for at in range(1, BINS)]
    cell = case((reward.is_(None), null()), *((reward < edge, at) for at, edge in enumerate(edges)), else_=BINS - 1)
    added = case((func.abs(reward) < 1, 0.0), else_=reward / _UNIT) if is_large else reward
    counted = (func.count(), func.sum(added), func.min(step), func.max(step))
    # no database has a number for more than 63 bits of steps between two
    column = (step - first) // width if last - first < INT64 else (step // 2 - first // 2) // (width // 2)
    query = select(column, cell, *counted).where(*_of_run(run)).group_by(column, cell)
    return _gathered(connection.execute(query), low, high, _UNIT if is_large else 1.0)


def _around(reward: float) -> tuple[float, float]:
    """A little less and a little more; half a unit may be nothing beside a large one."""
    pad = max(0.5, abs(reward) / 1024)
    return max(reward - pad, -sys.float_info.max), min(reward + pad, sys.float_info.max)


def between(low: float, high: float, part: float) -> float:
    """What lies at a part (0 to 1) of the way from one number to another, of any size."""
    span = high - low
    return low + span * part if math.isfinite(span) else 2 * (low / 2 + (high / 2 - low / 2) * part)


def part_of(low: float, high: float, value: float) -> float:
    """At which part of the way from one number to a greater one a value lies."""
    if not math.isfinite(high - low):
        low, high, value = low / 2, high / 2, value / 2
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _gathered(found: Iterable[Any], low: float, high: float, unit: float) -> Spread:
    columns: dict[int, list[Any]] = {}
    cells: list[tuple[int, int | None, int]] = []
    for number, at, count, total, first, last in found:
        cells.append((number, at, count))
        one = columns.setdefault(number, [first, last, 0, 0.0, 0])
        one[0], one[1], one[2] = min(one[0], first), max(one[1], last), one[2] + count
        if total is not None:
            one[3], one[4] = one[3] + total, one[4] + count
    places = {number: at for at, number in enumerate(sorted(columns))}
    means = [
        (one[0], one[1], one[2], min(high, max(low, one[3] / one[4] * unit)) if one[4] else None)
        for _, one in sorted(columns.items())
    ]
    return Spread(means, [(places[number], at, count) for number, at, count in cells], low, high)


def _end(connection: Connection, run: int, order: Any) -> int | None:
    query = select(traces.c.rollout_step).where(*_of_run(run)).order_by(order).limit(1)
    return connection.execute(query).scalar()


def near(connection: Connection, run: int, wanted: int | None) -> Near | None:
    step = traces.c.rollout_step
    first, last = _end(connection, run, step), _end(connection, run, step.desc())
    if first is None or last is None:
        return None
    chosen = last if wanted is None else wanted
    steps = select(step).where(*_of_run(run)).limit(1)
    before = connection.execute(steps.where(step < chosen).order_by(step.desc())).scalar()
    after = connection.execute(steps.where(step > chosen).order_by(step)).scalar()
    return Near(chosen, before, after, first, last)


def size_of_step(connection: Connection, run: int, step: int) -> tuple[int, int]:
    """How many rollouts a step has, and how many groups; those without one are one."""
    name = traces.c.reward_group
    query = select(func.count(), func.count(name), func.count(name.distinct()))
    every, in_groups, named = connection.execute(query.where(*_of_run(run), traces.c.rollout_step == step)).one()
    return every, named + (every > in_groups)


def groups(connection: Connection, run: int, step: int, skip: int) -> list[Row[Any]]:
    """Rows of name, size, mean, least, most in the order of arrival; at most 200 and one. `mean` may be none, or infinite, of very
    large rewards."""
    name, reward = traces.c.reward_group, traces.c.reward
    counted = (func.count().label("size"), mean(reward).label("mean"))
    ends = (func.min(reward).label("least"), func.max(reward).label("most"))
    query = select(name.label("name"), *counted, *ends).where(*_of_run(run), traces.c.rollout_step == step)
    ordered = query.group_by(name).order_by(func.min(traces.c.pk))
    return list(connection.execute(ordered.limit(GROUPS + 1).offset(skip)))


def samples(
    connection: Connection,
    caller: Caller,
    run: int,
    step: int,
    group: str | None,
    *,
    every: bool,
    skip: int,
    worst: bool = False,
) -> list[Object]:
    """At most 200 and one rollouts of a step, the greatest reward first or the least (`worst`), those without one last: of a group, or of
    all groups (`every`)."""
    query = visible_traces(caller).where(*_of_run(run), traces.c.rollout_step == step)
    if not every:
        query = query.where(traces.c.reward_group.is_(None) if group is None else traces.c.reward_group == group)
    order = traces.c.reward.asc() if worst else traces.c.reward.desc()
    ordered = query.order_by(order.nulls_last(), traces.c.pk).limit(SAMPLES + 1).offset(skip)
    return [
        {**trace_object(row), "reward": row.reward, "group": row.reward_group} for row in connection.execute(ordered)
    ]


def without_step(connection: Connection, run: int) -> int:
    """How many rollouts name no step."""
    where = (traces.c.run == run, traces.c.rollout_step.is_(None), traces.c.deleted_us.is_(None))
    return connection.execute(select(func.count()).where(*where)).scalar_one()


def judged(connection: Connection, run: int) -> int:
    """How many rollouts have a reward."""
    return connection.execute(select(func.count(traces.c.reward)).where(*_of_run(run))).scalar_one()
