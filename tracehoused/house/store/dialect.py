"""The databases a house can live in, and what is asked of each beyond common SQL; `sqlite` and `postgres` are its forms."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Engine, Table, and_, bindparam
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.sql.dml import Insert

from tracehoused.house.errors import Refusal

# The disk or the server behind the database failed; the change itself may be as good as any.
STORAGE_ERRORS = (OperationalError, InterfaceError, NoConnection, sqlite3.OperationalError)

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


class DatabaseError(Exception):
    """No house can be kept at this address."""


@dataclass(frozen=True)
class Bulk:
    """An INSERT of many rows into the columns of a table, in the table's order. With `keys`, a row that is there already
    is changed instead: `changes(new)` gives the assignments; not where it differs in one of the columns `same`."""

    table: Table
    columns: tuple[str, ...]
    keys: tuple[str, ...] = ()
    changes: Callable[[Any], dict[str, Any]] | None = None
    same: tuple[str, ...] = ()

    def statement(self, dialect: Dialect) -> Insert:
        statement: Any = _own(dialect.name).insert(self.table)
        statement = statement.values({name: bindparam(name) for name in self.columns})
        if self.changes is not None:
            new = statement.excluded
            only = and_(*(self.table.c[name] == new[name] for name in self.same)) if self.same else None
            keys, changes = list(self.keys), self.changes(new)
            statement = statement.on_conflict_do_update(index_elements=keys, set_=changes, where=only)
        return statement  # type: ignore[no-any-return]


class Database(Protocol):
    """What a module for a database has."""

    def open_engine(self, url: URL, *, writes: bool) -> Engine:
        """Engines that write begin as the only writer, or lock by name what they change."""

    def insert(self, table: Table) -> Any:
        """An INSERT that has ON CONFLICT."""

    def insert_many(self, connection: Connection, bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many rows were inserted or changed."""

    def lock_tables(self, connection: Connection) -> None:
        """No other process looks which tables there are until this transaction ends."""

    def lock(self, connection: Connection, names: Iterable[str]) -> None:
        """No other process that asks for one of these names goes on until this transaction ends."""

    def is_transient(self, error: Exception) -> bool:
        """Whether a transaction was undone only because of another one: it may succeed at once."""

    def refusal_of(self, error: Exception) -> Refusal | None:
        """What to tell the sender of a change that this database can never take."""


def _own(name: str) -> Database:
    if name == "postgresql":
        from tracehoused.house.store import postgres

        return postgres
    from tracehoused.house.store import sqlite

    return sqlite


def of(there: Connection | Engine) -> Database:
    return _own(there.dialect.name)


def database_url(text: str) -> URL:
    """The address of a database, e.g. `postgresql://user@host/name`. Raises DatabaseError, which repeats no password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise DatabaseError("the database must be given as a URL, such as postgresql://user@host/name") from None
    if url.drivername == "sqlite":
        return url
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    raise DatabaseError(f"a house keeps its data in PostgreSQL or SQLite, not in {url.drivername}")


def open_engine(url: URL, *, writes: bool) -> Engine:
    """Raises DatabaseError where the database's driver is not installed."""
    try:
        return _own(url.get_backend_name()).open_engine(url, writes=writes)
    except ImportError as error:
        raise DatabaseError(f"{error}: python3 -m pip install 'tracehouse-sdk[postgres]'") from None


def run_many(connection: Connection, bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert `rows`, tuples in the order of the columns; how many were inserted or changed."""
    return of(connection).insert_many(connection, bulk, rows)
