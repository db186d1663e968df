"""Which files are going, so that none goes just as a run comes to name it, and nobody who writes waits for a store far away.

A removal is noted in one transaction, carried out in none, and its end noted in another. Who is killed in between leaves the note: what is
to be removed is found again, and the same steps end as they would have. While a file is going no run may name it; and one that went since
`so_far` was asked may have taken the bytes with it that were found after that. In the table `house`: `removals`, how many notes were made;
`removal/<sha256>`, JSON: [the note's number, "going" or "gone", microseconds since 1970].
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from tracehoused.house.errors import Refusal
from tracehoused.house.store.schema import house

__all__ = ["begin", "check", "end", "forget_going", "forget_old", "so_far"]

_COUNT = "removals"
_ONE = "removal/"
_GOING, _GONE = "going", "gone"
_VALUE = select(house.c.value).where(house.c.name == bindparam("asked"))
_DELETE = delete(house).where(house.c.name == bindparam("asked"))
# No request to a store takes so long, nor what lies between a look at it and the change that follows: a quarter of an hour.
STALE_US = 900_000_000
_LONGEST_WAIT = 300  # seconds: a sender's few tries last longer than that quarter of an hour


def so_far(connection: Connection) -> int:
    """How many notes there are. To be asked before one looks whether a file is there."""
    return int(_value(connection, _COUNT) or 0)


def check(connection: Connection, sha256: str, since: int, now_us: int) -> None:
    """Refusal 503 where a file, found after `so_far` was `since`, may have gone or be going. Runs in the change that names it."""
    number, state, at_us = _read(connection, sha256)
    if _is_going((number, state, at_us), now_us):
        left = max(1, (at_us + STALE_US - now_us) // 1_000_000)
        message = "the file is being removed; send it again when it is"
        raise Refusal(503, "storage", message, retry_after=min(left, _LONGEST_WAIT))
    if state == _GONE and number > since:
        raise Refusal(503, "storage", "the file was removed meanwhile; send it again")


def begin(connection: Connection, hashes: Iterable[str], now_us: int) -> set[str]:
    """Those of them that the caller is to remove: not what another house is at already."""
    free = {sha256 for sha256 in hashes if not _is_going(_read(connection, sha256), now_us)}
    for sha256 in sorted(free):
        _note(connection, sha256, _GOING, now_us)
    return free


def end(connection: Connection, hashes: Iterable[str], gone: Iterable[str], now_us: int) -> None:
    """Of those that were going, `gone` are; the others stay."""
    there = set(hashes).difference(gone)
    _forget(connection, [_ONE + sha256 for sha256 in there])
    for sha256 in gone:
        _note(connection, sha256, _GONE, now_us)


def forget_going(connection: Connection) -> None:
    """At the start of a house that shares its files with none: nobody is removing now, and what is unused is found again."""
    rows = connection.execute(select(house).where(house.c.name.startswith(_ONE))).all()
    going = [row.name for row in rows if json.loads(row.value)[1] == _GOING]
    _forget(connection, going)


def forget_old(connection: Connection, now_us: int) -> None:
    """Nobody looked at the files before that any more."""
    rows = connection.execute(select(house).where(house.c.name.startswith(_ONE))).all()
    old = [row.name for row in rows if abs(now_us - json.loads(row.value)[2]) >= 4 * STALE_US]
    _forget(connection, old)


def _forget(connection: Connection, names: list[str]) -> None:
    """One by one: a run may have had more files than a statement takes values."""
    if names:
        connection.execute(_DELETE, [{"asked": name} for name in names])


def _read(connection: Connection, sha256: str) -> tuple[int, str, int]:
    text = _value(connection, _ONE + sha256)
    number, state, at_us = json.loads(text) if text else (0, "", 0)
    return number, state, at_us


def _is_going(note: tuple[int, str, int], now_us: int) -> bool:
    """Who went silent amid a removal removes no more: it may be begun anew, or the file stay."""
    return note[1] == _GOING and abs(now_us - note[2]) < STALE_US


def _note(connection: Connection, sha256: str, state: str, now_us: int) -> None:
    number = so_far(connection) + 1
    _set(connection, _COUNT, str(number))
    _set(connection, _ONE + sha256, json.dumps([number, state, now_us]))


def _value(connection: Connection, name: str) -> str | None:
    found = connection.execute(_VALUE, {"asked": name}).scalar()
    return None if found is None else str(found)


def _set(connection: Connection, name: str, value: str) -> None:
    if not connection.execute(update(house).where(house.c.name == name).values(value=value)).rowcount:
        connection.execute(insert(house).values(name=name, value=value))
