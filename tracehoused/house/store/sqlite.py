"""What is SQLite's own. Its writer is the only one from the beginning of a transaction, so nothing needs a lock beside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Dialect

from tracehoused.house.errors import Refusal

if TYPE_CHECKING:
    from tracehoused.house.store.dialect import Bulk

__all__ = ["insert", "insert_many", "is_transient", "lock", "lock_tables", "open_engine", "refusal_of"]

# WAL with FULL: a commit has reached the disk when it returns; readers never wait for the writer.
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=ON",
    "checkpoint_fullfsync=ON",
    "busy_timeout=10000",
    "cache_size=-65536",
    "wal_autocheckpoint=16000",
    "journal_size_limit=67108864",
    "temp_store=MEMORY",
)
_OLDEST_SQLITE = (3, 25)
# values in a statement, by default
_MOST_VALUES = 32766 if sqlite3.sqlite_version_info >= (3, 32) else 999


def open_engine(url: URL, *, writes: bool) -> Engine:
    """An engine for `url`. Writers take the write lock when a transaction begins, so none fails halfway."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise RuntimeError(f"SQLite {'.'.join(map(str, _OLDEST_SQLITE))} is needed, found {sqlite3.sqlite_version}")
    engine = create_engine(url, pool_pre_ping=False)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver's own transaction control would begin late and commit early; `begin` below says when.
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def lock_tables(connection: Connection) -> None:
    pass


def lock(connection: Connection, names: Iterable[str]) -> None:
    pass


def is_transient(error: Exception) -> bool:
    return False


def refusal_of(error: Exception) -> Refusal | None:
    return None


# A few sizes, so that prepared statements are found again.
_ROWS = (1000, 96, 24, 6, 1)


def insert_many(connection: Connection, bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> int:
    # The driver lets other threads in at every statement, and one that decodes a request may stay for milliseconds:
    # many rows a statement cost a fortieth of one row each when the house is busy.
    cursor = connection.connection.cursor()
    at = done = 0
    for size in _ROWS:
        if size * len(bulk.columns) > _MOST_VALUES or size > len(rows) - at:
            continue
        sql = _text(bulk, connection.dialect, size)
        while len(rows) - at >= size:
            cursor.execute(sql, tuple(chain.from_iterable(rows[at : at + size])))
            at += size
            done += cursor.rowcount
    cursor.close()
    return done


@lru_cache(maxsize=64)
def _text(bulk: Bulk, dialect: Dialect, size: int) -> str:
    text = str(bulk.statement(dialect).compile(dialect=dialect))
    one = f"({', '.join('?' * len(bulk.columns))})"
    if text.count(f"VALUES {one}") != 1:
        raise ValueError(f"not a statement for many rows: {text}")
    return text.replace(one, ", ".join([one] * size), 1)
