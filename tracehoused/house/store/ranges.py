"""Interval sets of applied sequence numbers, one per (identity, session uid, segment, endpoint)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from tracehoused.house.store.schema import ranges

Interval = tuple[int, int]


@dataclass(frozen=True)
class Place:
    identity: str
    uid: str
    segment: str
    endpoint: str


def _is(place: Place) -> tuple[ColumnElement[bool], ...]:
    return (
        ranges.c.identity == place.identity,
        ranges.c.uid == place.uid,
        ranges.c.segment == place.segment,
        ranges.c.endpoint == place.endpoint,
    )


def held(connection: Connection, place: Place, first: int, last: int) -> list[Interval]:
    """What is held of first..last (both inclusive), in order, cut to these bounds."""
    return [(max(a, first), min(b, last)) for a, b in _meeting(connection, place, first, last)]


def add(connection: Connection, place: Place, first: int, last: int) -> None:
    """Hold first..last too, joined with every interval it meets or touches."""
    near = _meeting(connection, place, first - 1, last + 1)
    if near:
        bounds = ranges.c.first.between(near[0][0], near[-1][0])
        connection.execute(delete(ranges).where(*_is(place), bounds))
    joined = {"first": min([first, *(a for a, _ in near)]), "last": max([last, *(b for _, b in near)])}
    names = {"identity": place.identity, "uid": place.uid, "segment": place.segment, "endpoint": place.endpoint}
    connection.execute(insert(ranges).values(**names, **joined))


def _meeting(connection: Connection, place: Place, first: int, last: int) -> list[Interval]:
    """The intervals that have a number in common with first..last. As they are disjoint, only the last one that
    begins before `first` can reach into it, so the cost does not grow with the number of intervals."""
    query = select(ranges.c.first, ranges.c.last).where(*_is(place))
    before = query.where(ranges.c.first < first).order_by(ranges.c.first.desc()).limit(1)
    within = query.where(ranges.c.first.between(first, last)).order_by(ranges.c.first)
    rows = [*connection.execute(before).all(), *connection.execute(within).all()]
    return [(row.first, row.last) for row in rows if row.last >= first]
