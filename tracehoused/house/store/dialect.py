"""All that differs between databases: opening one, and statements for many rows at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.sql.dml import Insert

# WAL with FULL: a commit has reached the disk when it returns; readers never wait for the writer.
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=ON",
    "checkpoint_fullfsync=ON",
    "busy_timeout=10000",
    "cache_size=-65536",
    "wal_autocheckpoint=4000",
    "temp_store=MEMORY",
)
_OLDEST_SQLITE = (3, 24)


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


def upsert(table: Table, columns: tuple[str, ...], keys: tuple[str, ...], changes: Any) -> Any:
    """A function Dialect → INSERT … ON CONFLICT (keys) DO UPDATE; `changes(new)` gives the assignments."""

    def build(dialect: Dialect) -> Insert:
        make = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        statement = make(table).values(dict.fromkeys(columns))
        return statement.on_conflict_do_update(index_elements=list(keys), set_=changes(statement.excluded))

    return build


@lru_cache(maxsize=64)
def _driver_sql(build: Any, dialect: Dialect) -> str:
    return str(build(dialect).compile(dialect=dialect))


def run_many(connection: Connection, build: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute one statement for each row, straight through the driver: rows are tuples in the statement's order."""
    if rows:
        connection.exec_driver_sql(_driver_sql(build, connection.dialect), list(rows))
