"""All that differs between databases: opening one, and statements for many rows at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.sql.dml import Insert

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
_OLDEST_SQLITE = (3, 24)
_MOST_VALUES = 999

# The disk or the server behind the database failed; the change itself may be as good as any.
STORAGE_ERRORS = (OperationalError, InterfaceError, sqlite3.OperationalError)


def open_engine(url: str, *, writes: bool) -> Engine:
    """An engine for `url`. SQLite writers take the write lock when a transaction begins, so none fails halfway."""
    engine = create_engine(make_url(url), pool_pre_ping=False)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, writes)
    return engine


def _prepare_sqlite(engine: Engine, writes: bool) -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise RuntimeError(f"SQLite {'.'.join(map(str, _OLDEST_SQLITE))} is needed, found {sqlite3.sqlite_version}")

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver's own transaction control would begin late and commit early; `begin` below says when.
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def lock_alone(connection: Connection) -> None:
    """No other process changes tables until this transaction ends: SQLite's writers hold the file's lock from the start."""


@dataclass(frozen=True)
class Bulk:
    """An INSERT of many rows into the columns of a table, in the table's order. With `keys`, a row that is there already
    is changed instead: `changes(new)` gives the assignments."""

    table: Table
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()
    changes: Callable[[Any], dict[str, Any]] | None = None

    def statement(self, dialect: Dialect) -> Insert:
        make = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        statement = make(self.table).values({name: bindparam(name) for name in self.columns})
        if self.changes is None:
            return statement
        return statement.on_conflict_do_update(index_elements=list(self.keys), set_=self.changes(statement.excluded))


# SQLite's default allows 999 values in a statement; a few sizes, so that prepared statements are found again.
_ROWS = (96, 24, 6, 1)


def run_many(connection: Connection, bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert `rows`, tuples in the order of the columns."""
    if connection.dialect.name != "sqlite":
        if rows:
            names = [dict(zip(bulk.columns, row, strict=True)) for row in rows]
            connection.execute(bulk.statement(connection.dialect), names)
        return
    # The driver lets other threads in at every statement, and one that decodes a request may stay for milliseconds:
    # many rows a statement cost a fortieth of one row each when the house is busy.
    cursor = connection.connection.cursor()
    at = 0
    for size in _ROWS:
        sql = _sqlite_text(bulk, connection.dialect, size)
        while len(rows) - at >= size:
            cursor.execute(sql, tuple(chain.from_iterable(rows[at : at + size])))
            at += size
    cursor.close()


@lru_cache(maxsize=64)
def _sqlite_text(bulk: Bulk, dialect: Dialect, size: int) -> str:
    text = str(bulk.statement(dialect).compile(dialect=dialect))
    one = f"({', '.join('?' * len(bulk.columns))})"
    if text.count(f"VALUES {one}") != 1 or size * len(bulk.columns) > _MOST_VALUES:
        raise ValueError(f"not a statement for many rows: {text}")
    return text.replace(one, ", ".join([one] * size), 1)
