"""A run's media by key and step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from tracehoused.house.store.look import Object, media_object
from tracehoused.house.store.schema import media

_MOST_AT_A_STEP = 100


def media_keys(connection: Connection, run: int) -> Sequence[Row[Any]]:
    """One row per key, by name: `key`, `count`, and the `first` and `last` step, None where no medium has one."""
    step = media.c.step
    query = select(media.c.key, func.count().label("many"), func.min(step).label("first"), func.max(step).label("last"))
    return connection.execute(query.where(media.c.run == run).group_by(media.c.key).order_by(media.c.key)).all()


def steps(connection: Connection, run: int) -> list[int]:
    """Every step at which there is a medium, in order."""
    query = select(media.c.step).where(media.c.run == run, media.c.step.is_not(None)).distinct()
    return list(connection.execute(query.order_by(media.c.step)).scalars())


def last_media(connection: Connection, run: int, keys: Sequence[str]) -> dict[str, list[Object]]:
    """By key, the media of its last step, the newest 100 of them; of those without steps the newest."""
    last = select(media.c.key, func.max(media.c.step).label("step"), func.max(media.c.n).label("n"))
    newest = last.where(media.c.run == run).group_by(media.c.key).subquery()
    without_steps = newest.c.step.is_(None) & (newest.c.n == media.c.n)
    at_last = and_(newest.c.key == media.c.key, (newest.c.step == media.c.step) | without_steps)
    # each key by itself: one with many would leave the others without any
    place = func.row_number().over(partition_by=media.c.key, order_by=media.c.n.desc()).label("place")
    ranked = select(media.c.n, place).join(newest, at_last).where(media.c.run == run).subquery()
    query = select(media).join(ranked, ranked.c.n == media.c.n).where(ranked.c.place <= _MOST_AT_A_STEP)
    found: dict[str, list[Object]] = {key: [] for key in keys}
    for row in connection.execute(query.order_by(media.c.n)):
        found.setdefault(row.key, []).append(media_object(row))
    return found


def media_used(connection: Connection) -> tuple[int, int]:
    """(bytes, files) of what media rows name; the same file in several runs is one."""
    files = select(media.c.sha256, media.c.size).distinct().subquery()
    size, count = connection.execute(select(func.sum(files.c.size), func.count()).select_from(files)).one()
    return int(size or 0), int(count)
