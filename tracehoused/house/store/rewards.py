"""A run's rollouts by step, group and reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from tracehoused.house.store.look import Object, trace_object, visible_traces
from tracehoused.house.store.once import Caller
from tracehoused.house.store.schema import traces

BINS = 12
COLUMNS = 120
SAMPLES = 200
GROUPS = 200


@dataclass(frozen=True)
class Spread:
    """How the rewards of a run lie. `cells`: (column, bin, count), bin None where there is no reward; `columns`: for each
    column (first step, last step, count, mean); `low` and `high`: the least and the greatest reward."""

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
    """None where the run has no rollouts with a step."""
    step, reward = traces.c.rollout_step, traces.c.reward
    ends = select(func.min(step), func.max(step), func.min(reward), func.max(reward)).where(*_of_run(run))
    first, last, low, high = connection.execute(ends).one()
    if first is None:
        return None
    width = max(1, -(-(last - first + 1) // COLUMNS))
    column = (step - first) // width
    low, high = (0.0, 1.0) if low is None else (float(low), float(high))
    if high == low:
        low, high = low - 0.5, high + 0.5
    # Thousandths first: both databases round a positive quotient of whole numbers down, but not every cast of a fraction.
    part = func.round((reward - low) * (1000.0 / (high - low)))
    by_column = select(column, func.min(step), func.max(step), func.count(), func.avg(reward)).where(*_of_run(run))
    columns = connection.execute(by_column.group_by(column).order_by(column)).all()
    numbers = {row[0]: at for at, row in enumerate(columns)}
    found = connection.execute(select(column, part, func.count()).where(*_of_run(run)).group_by(column, part))
    cells: dict[tuple[int, int | None], int] = {}
    for number, thousandth, count in found:
        at = None if thousandth is None else min(int(thousandth) * BINS // 1000, BINS - 1)
        key = (numbers[number], at)
        cells[key] = cells.get(key, 0) + count
    listed = [(key[0], key[1], count) for key, count in cells.items()]
    return Spread([(row[1], row[2], row[3], row[4]) for row in columns], listed, low, high)


def near(connection: Connection, run: int, wanted: int | None) -> Near | None:
    step = traces.c.rollout_step
    first, last = connection.execute(select(func.min(step), func.max(step)).where(*_of_run(run))).one()
    if first is None:
        return None
    chosen = last if wanted is None else wanted
    before = connection.execute(select(func.max(step)).where(*_of_run(run), step < chosen)).scalar()
    after = connection.execute(select(func.min(step)).where(*_of_run(run), step > chosen)).scalar()
    return Near(chosen, before, after, first, last)


def groups(connection: Connection, run: int, step: int) -> list[Row[Any]]:
    """Rows of name, size, mean, least, most in the order of arrival; at most 200 and one."""
    name, reward = traces.c.reward_group, traces.c.reward
    counted = (func.count().label("size"), func.avg(reward).label("mean"))
    ends = (func.min(reward).label("least"), func.max(reward).label("most"))
    query = select(name.label("name"), *counted, *ends).where(*_of_run(run), traces.c.rollout_step == step)
    return list(connection.execute(query.group_by(name).order_by(func.min(traces.c.pk)).limit(GROUPS + 1)))


def samples(
    connection: Connection, caller: Caller, run: int, step: int, group: str | None, *, every: bool, skip: int
) -> list[Object]:
    """At most 200 and one rollouts of a step, the greatest reward first: those of a group, or of all groups (`every`)."""
    query = visible_traces(caller).where(*_of_run(run), traces.c.rollout_step == step)
    if not every:
        query = query.where(traces.c.reward_group.is_(None) if group is None else traces.c.reward_group == group)
    ordered = query.order_by(traces.c.reward.desc().nulls_last(), traces.c.pk).limit(SAMPLES + 1).offset(skip)
    return [
        {**trace_object(row), "reward": row.reward, "group": row.reward_group} for row in connection.execute(ordered)
    ]


def without_step(connection: Connection, run: int) -> int:
    """How many rollouts name no step."""
    where = (traces.c.run == run, traces.c.rollout_step.is_(None), traces.c.deleted_us.is_(None))
    return connection.execute(select(func.count()).where(*where)).scalar_one()
