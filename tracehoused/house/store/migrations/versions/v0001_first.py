"""The first tables.

Revision ID: 0001
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

revision = "0001"
down_revision = None

metadata = MetaData()
_Auto = BigInteger().with_variant(Integer, "sqlite")
# Bytes in their own order, as SQLite has them, whatever language the server speaks.
_Text = Text().with_variant(Text(collation="C"), "postgresql")


def _auto(name: str) -> Column[int]:
    return Column(name, _Auto, primary_key=True, autoincrement=True)


def _whole(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


Table("house", metadata, Column("name", String, primary_key=True), Column("value", Text, nullable=False))

Table(
    "keys",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("identity", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("label", _Text, nullable=False),
    _whole("created_us"),
    _whole("expires_us", null=True),
    _whole("revoked_us", null=True),
)

Table(
    "shares",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    _whole("target"),
    _whole("created_us"),
    _whole("expires_us", null=True),
    _whole("revoked_us", null=True),
)

Table(
    "agents",
    metadata,
    Column("identity", String(64), primary_key=True),
    Column("machine", _Text, primary_key=True),
    Column("hostname", _Text),
    Column("version", _Text),
    Column("last", String(64), nullable=False),
    Column("oldest", String(64)),
    _whole("pending", null=True),
    _whole("dead", null=True),
    _whole("requests"),
    _whole("first_us"),
    _whole("seen_us"),
)

Table(
    "traces",
    metadata,
    _auto("pk"),
    Column("id", String(64), nullable=False, unique=True),
    Column("identity", String(64), nullable=False),
    Column("machine", _Text, nullable=False),
    Column("session_id", _Text, nullable=False),
    Column("hostname", _Text),
    Column("agent_version", _Text),
    Column("started_at", Text, nullable=False),
    Column("scaffold", _Text),
    Column("project", _Text),
    Column("task_name", _Text),
    Column("model", _Text),
    _whole("run", null=True),
    _whole("rollout_step", null=True),
    Column("outcome", String(16)),
    Column("reward", Float(53)),
    Column("reward_group", _Text),
    Column("metadata", Text),
    Column("extra", Text),
    _whole("created_us"),
    _whole("updated_us"),
    _whole("deleted_us", null=True),
    UniqueConstraint("identity", "machine", "session_id"),
    Index("traces_by_run", "run", "rollout_step", "pk"),
    Index("traces_by_reward", "run", "rollout_step", "reward", "deleted_us"),
)

Table(
    "spans",
    metadata,
    _auto("n"),
    _whole("trace"),
    Column("id", _Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", _Text, nullable=False),
    Column("start_at", Text, nullable=False),
    Column("end_at", Text),
    Column("parent_span_id", _Text),
    Column("status", _Text),
    Column("attributes", Text, nullable=False),
    Column("extra", Text),
    UniqueConstraint("trace", "id"),
    Index("spans_in_order", "trace", "n"),
)

Table(
    "runs",
    metadata,
    _auto("pk"),
    Column("id", String(64), nullable=False, unique=True),
    Column("identity", String(64), nullable=False),
    Column("machine", _Text, nullable=False),
    Column("client_run_id", _Text, nullable=False),
    Column("hostname", _Text),
    Column("agent_version", _Text),
    Column("name", _Text, nullable=False),
    Column("project", _Text),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("status", String(16), nullable=False),
    Column("config", Text),
    Column("hf_dataset", _Text),
    Column("hf_dataset_split", _Text),
    Column("hf_model", _Text),
    Column("hf_model_revision", _Text),
    Column("extra", Text),
    _whole("next_point"),
    _whole("created_us"),
    _whole("updated_us"),
    _whole("deleted_us", null=True),
    UniqueConstraint("identity", "machine", "client_run_id"),
)

Table(
    "series",
    metadata,
    _auto("id"),
    _whole("run"),
    _whole("attempt"),
    Column("writer", String(128), nullable=False),
    Column("key", _Text, nullable=False),
    _whole("size"),
    _whole("last_step", null=True),
    _whole("last_us", null=True),
    Column("last_value", Float(53)),
    Column("last_json", Text),
    UniqueConstraint("run", "attempt", "writer", "key"),
)

Table(
    "points",
    metadata,
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    _whole("us"),
    Column("value", Float(53)),
    sqlite_with_rowid=False,
)

Table(
    "odd_values",
    metadata,
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("nonfinite", Integer, nullable=False),
    Column("json", Text, nullable=False),
)

Table(
    "rollups",
    metadata,
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("least", Float(53), nullable=False),
    Column("most", Float(53), nullable=False),
    Column("total", Float(53)),
    _whole("size"),
    _whole("first_us"),
    _whole("last_us"),
    sqlite_with_rowid=False,
)

Table(
    "media",
    metadata,
    _auto("n"),
    Column("id", String(64), nullable=False, unique=True),
    _whole("run"),
    Column("key", _Text, nullable=False),
    _whole("step", null=True),
    Column("caption", _Text),
    Column("media_type", String(16), nullable=False),
    Column("mime", String(128), nullable=False),
    Column("sha256", String(64), nullable=False),
    _whole("size"),
    _whole("attempt"),
    Column("writer", String(128), nullable=False),
    _whole("created_us"),
    Index("media_of_run", "run", "key", "step", "n"),
    Index("media_by_hash", "sha256"),
)

Table(
    "artifacts",
    metadata,
    _auto("n"),
    Column("id", String(64), nullable=False, unique=True),
    _whole("run"),
    Column("name", _Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("data", Text, nullable=False),
    _whole("attempt"),
    Column("writer", String(128), nullable=False),
    _whole("created_us"),
    Index("artifacts_of_run", "run", "n"),
)

Table(
    "ranges",
    metadata,
    Column("identity", String(64), primary_key=True),
    Column("uid", String(128), primary_key=True),
    Column("segment", String(128), primary_key=True),
    Column("endpoint", String(16), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    _whole("last"),
    sqlite_with_rowid=False,
)

Table(
    "requests",
    metadata,
    Column("identity", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    _whole("created_us"),
    Index("requests_by_age", "created_us"),
    sqlite_with_rowid=False,
)


def upgrade() -> None:
    metadata.create_all(op.get_bind())
