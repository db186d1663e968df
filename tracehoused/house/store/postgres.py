"""What is PostgreSQL's own: its connections, its locks between processes, its way to insert many rows at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

from sqlalchemy import URL, BigInteger, Connection, Engine, Float, Integer, LargeBinary, create_engine, event
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Dialect

from tracehoused.house.errors import FormatError, Refusal, invalid

if TYPE_CHECKING:
    from tracehoused.house.store.dialect import Bulk

__all__ = ["insert", "insert_many", "is_transient", "lock", "lock_tables", "open_engine", "refusal_of"]

# Advisory locks of this program: a class of its own, and in it a slot for each name. Two names in one slot only wait for
# each other needlessly; a bound on the slots is a bound on the server's memory for locks.
_CLASS = 0x7472636B
_TABLES = 0
_SLOTS = 4096
_TRANSIENT = frozenset({"40001", "40P01"})
_TOO_LARGE = frozenset({"54000"})


# A server that has gone is noticed within a minute, where the URL does not say otherwise. The last, in ms, is for what was sent to it
# and never confirmed: as long as that is so, the system asks for no sign of life, and tries for a quarter of an hour.
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 40_000,
}
# Another process that stands still amid a change is not waited for without end: its change is undone.
_WRITER = (("lock_timeout", "30s"), ("idle_in_transaction_session_timeout", "60s"))


def open_engine(url: URL, *, writes: bool) -> Engine:
    """An engine whose readers see one state for as long as they look, as they do on SQLite."""
    words = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    options: dict[str, Any] = {"connect_args": {**words, "client_encoding": "utf8"}, "pool_pre_ping": True}
    if writes:
        engine = create_engine(url, pool_size=1, max_overflow=0, **options)
        event.listen(engine, "connect", _prepare_writer)
        return engine
    options["execution_options"] = {"postgresql_readonly": True}
    return create_engine(url, isolation_level="REPEATABLE READ", pool_size=10, max_overflow=20, **options)


def _prepare_writer(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('synchronous_commit'), current_setting('server_encoding')")
        commits, encoding = cursor.fetchone()
        if encoding != "UTF8":
            raise FormatError(f"the database's encoding is {encoding}; the house needs one made with ENCODING 'UTF8'")
        # A server may be set to answer before a commit has reached its disk; not to us.
        if commits == "off":
            cursor.execute("SET synchronous_commit TO on")
        for name, value in _WRITER:
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
    connection.commit()


def lock(connection: Connection, names: Iterable[str]) -> None:
    """Hold these names until the transaction ends; in one order everywhere, so that no two wait for each other."""
    slots = sorted({1 + crc32(name.encode("utf-8", "surrogatepass")) % _SLOTS for name in names})
    if slots:
        sql = "SELECT pg_advisory_xact_lock(%s, slot) FROM unnest(%s::int[]) AS slot"
        connection.exec_driver_sql(sql, (_CLASS, slots))


def lock_tables(connection: Connection) -> None:
    connection.exec_driver_sql("SET LOCAL lock_timeout TO 0")
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (_CLASS, _TABLES))


def is_transient(error: Exception) -> bool:
    return _state(error) in _TRANSIENT


def refusal_of(error: Exception) -> Refusal | None:
    too_large = _state(error) in _TOO_LARGE
    return invalid("a name or id is too long for an index of this house's database") if too_large else None


def _state(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def insert_many(connection: Connection, bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> int:
    """One array a column: a statement whose text never changes, whatever the number of rows."""
    sql = _text(bulk, connection.dialect)
    done = 0
    for wave in _waves(bulk, rows):
        columns = tuple(list(column) for column in zip(*wave, strict=True))
        done += connection.exec_driver_sql(sql, columns).rowcount
    return done


def _waves(bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> Iterable[Sequence[tuple[Any, ...]]]:
    """`rows`, parted so that no part has two rows of one key: a statement changes each row once."""
    if not bulk.keys or not rows:
        return [rows] if rows else []
    places = [bulk.columns.index(name) for name in bulk.keys]
    seen: Counter[tuple[Any, ...]] = Counter()
    waves: list[list[tuple[Any, ...]]] = []
    for row in rows:
        key = tuple(row[place] for place in places)
        if seen[key] == len(waves):
            waves.append([])
        waves[seen[key]].append(row)
        seen[key] += 1
    return waves


@lru_cache(maxsize=64)
def _text(bulk: Bulk, dialect: Dialect) -> str:
    head, values, tail = str(bulk.statement(dialect).compile(dialect=dialect)).partition(" VALUES (")
    if not values:
        raise ValueError(f"not a statement for many rows: {head}")
    arrays = ", ".join(f"%s::{_array(bulk.table.c[name].type)}" for name in bulk.columns)
    _, conflict, change = tail.partition(" ON CONFLICT ")
    return "".join((head, " SELECT * FROM unnest(", arrays, ")", conflict, change))


def _array(kind: Any) -> str:
    if isinstance(kind, (BigInteger, Integer)):
        return "bigint[]"
    if isinstance(kind, Float):
        return "double precision[]"
    return "bytea[]" if isinstance(kind, LargeBinary) else "text[]"
