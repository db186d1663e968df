"""Spans are found by a small number made of their ids, no more by an index of the ids themselves.

Revision ID: 0002
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_PORTION = 20_000
_COPY = """INSERT INTO spans SELECT n, trace, id, kind, name, start_at, end_at, parent_span_id, status, attributes, extra, place_of(id)
    FROM spans_before ORDER BY n"""
_PART = (
    "UPDATE spans SET place = place + 1 WHERE n IN (SELECT max(n) FROM spans GROUP BY trace, place HAVING count(*) > 1)"
)
_TABLE = sa.Table(
    "spans",
    sa.MetaData(),
    sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("trace", sa.BigInteger, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("start_at", sa.Text, nullable=False),
    sa.Column("end_at", sa.Text),
    sa.Column("parent_span_id", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("attributes", sa.Text, nullable=False),
    sa.Column("extra", sa.Text),
    sa.Column("place", sa.BigInteger, nullable=False),
)


def _place(stored_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(stored_id.encode(), digest_size=6).digest(), "big") >> 1


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _copy(connection)
    else:
        _fill(connection)
    _part(connection)
    op.create_index("spans_by_place", "spans", ["trace", "place"], unique=True)


def _copy(connection: sa.Connection) -> None:
    """SQLite drops no constraint of a table."""
    op.rename_table("spans", "spans_before")
    op.drop_index("spans_in_order", "spans_before")
    _TABLE.create(connection)
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.create_function("place_of", 1, _place, deterministic=True)
    op.execute(_COPY)
    op.drop_table("spans_before")
    op.create_index("spans_in_order", "spans", ["trace", "n"])


def _fill(connection: sa.Connection) -> None:
    op.add_column("spans", sa.Column("place", sa.BigInteger))
    spans = _TABLE.c
    some = sa.select(spans.n, spans.id).where(spans.n > sa.bindparam("after")).order_by(spans.n).limit(_PORTION)
    change = sa.text("""UPDATE spans SET place = new.place
        FROM unnest(CAST(:n AS bigint[]), CAST(:place AS bigint[])) AS new(n, place) WHERE spans.n = new.n""")
    after = 0
    while rows := connection.execute(some, {"after": after}).all():
        connection.execute(change, {"n": [row.n for row in rows], "place": [_place(row.id) for row in rows]})
        after = rows[-1].n
    op.alter_column("spans", "place", nullable=False)
    op.drop_constraint("spans_trace_id_key", "spans", type_="unique")


def _part(connection: sa.Connection) -> None:
    """Of several spans with one place the last goes to the next, until each has its own."""
    while connection.exec_driver_sql(_PART).rowcount:
        pass
