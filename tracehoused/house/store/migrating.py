"""Bringing a database to the tables of this version, in one transaction that one process at a time has.

A new database gets them at once; an older one is changed by the steps in `migrations`, each of which says what changed.
alembic does that, and is imported only then. The number of the last step stands in the table `alembic_version`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select

from tracehoused.house.errors import FormatError
from tracehoused.house.store import dialect, schema

# The last of the steps in `migrations`, which `schema` equals.
REVISION = "0002"
# What a database has that was made before its steps were numbered.
FIRST = "0001"

STEPS = Path(__file__).with_name("migrations")

_alembic = MetaData()
_version = Table("alembic_version", _alembic, Column("version_num", String(32), primary_key=True))


def bring_up(connection: Connection) -> None:
    """Make or change the tables. Raises FormatError where the database is a newer house's, or another program's."""
    dialect.of(connection).lock_tables(connection)
    held = set(inspect(connection).get_table_names())
    if schema.house.name not in held:
        _make(connection, held)
        return
    at = connection.execute(select(_version)).scalar() if _version.name in held else None
    if at != REVISION:
        if at is None:
            _stamp(connection, FIRST)
        upgrade(connection, at or FIRST)


def _make(connection: Connection, held: set[str]) -> None:
    foreign = sorted(held.intersection([*schema.metadata.tables, _version.name]))
    if foreign:
        raise FormatError(f"the database holds another program's table {foreign[0]!r}; give the house one of its own")
    schema.metadata.create_all(connection)
    _stamp(connection, REVISION)


def _stamp(connection: Connection, revision: str) -> None:
    _alembic.create_all(connection)
    connection.execute(insert(_version).values(version_num=revision))


def upgrade(connection: Connection, at: str) -> None:
    """Run the steps behind `at` in the connection's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    try:
        ScriptDirectory.from_config(config).get_revision(at)
    except CommandError:
        raise FormatError(f"the database is a newer house's (step {at}; this version knows {REVISION})") from None
    command.upgrade(config, REVISION)
