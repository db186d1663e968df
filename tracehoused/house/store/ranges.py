"""Interval sets of applied sequence numbers, one per (identity, session uid, segment, endpoint)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from tracehoused.house.store.schema import ranges

Interval = tuple[int, int]


@dataclass(frozen=True)
class Place:
    identity: str
    uid: str
    segment: str
    endpoint: str

    def bound(self) -> dict[str, str]:
        """By the names that the statements below give its parts."""
        return {"of": self.identity, "of_uid": self.uid, "of_segment": self.segment, "of_endpoint": self.endpoint}


# Made once: every batch asks these, and making them took longer than their answers.
_HERE = (
    ranges.c.identity == bindparam("of"),
    ranges.c.uid == bindparam("of_uid"),
    ranges.c.segment == bindparam("of_segment"),
    ranges.c.endpoint == bindparam("of_endpoint"),
)
_INTERVALS = select(ranges.c.first, ranges.c.last).where(*_HERE)
_BEFORE = _INTERVALS.where(ranges.c.first < bindparam("low")).order_by(ranges.c.first.desc()).limit(1)
_BETWEEN = ranges.c.first.between(bindparam("low"), bindparam("high"))
_WITHIN = _INTERVALS.where(_BETWEEN).order_by(ranges.c.first)
_GROW = update(ranges).where(*_HERE, ranges.c.first == bindparam("low")).values(last=bindparam("new_last"))
_FORGET = delete(ranges).where(*_HERE, _BETWEEN)
_NEW = insert(ranges)


def near(connection: Connection, place: Place, first: int, last: int) -> list[Interval]:
    """The intervals that have a number in common with first..last or touch it, in order. As they are disjoint, only the last
    one that begins before can reach into it, so the cost does not grow with the number of intervals."""
    here = place.bound()
    low, high = first - 1, last + 1
    rows = [
        *connection.execute(_BEFORE, {**here, "low": low}).all(),
        *connection.execute(_WITHIN, {**here, "low": low, "high": high}).all(),
    ]
    return [(row.first, row.last) for row in rows if row.last >= low]


def held(connection: Connection, place: Place, first: int, last: int) -> list[Interval]:
    """What is held of first..last (both inclusive), in order, cut to these bounds."""
    return cut(near(connection, place, first, last), first, last)


def cut(found: list[Interval], first: int, last: int) -> list[Interval]:
    """What some intervals have of first..last."""
    return [(max(a, first), min(b, last)) for a, b in found if a <= last and b >= first]


def add(connection: Connection, place: Place, first: int, last: int, found: list[Interval]) -> None:
    """Hold first..last too, joined with what is `near`, which is `found`."""
    joined = {"first": min([first, *(a for a, _ in found)]), "last": max([last, *(b for _, b in found)])}
    here = place.bound()
    if len(found) == 1 and joined["first"] == found[0][0]:
        connection.execute(_GROW, {**here, "low": joined["first"], "new_last": joined["last"]})
        return
    if found:
        connection.execute(_FORGET, {**here, "low": found[0][0], "high": found[-1][0]})
    names = {"identity": place.identity, "uid": place.uid, "segment": place.segment, "endpoint": place.endpoint}
    connection.execute(_NEW, {**names, **joined})
