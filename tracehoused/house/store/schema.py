"""The house's tables.

- `traces`, `runs`: one row per upsert key (identity, machine, client's id). `pk` is the order of arrival and the key of
  every other table; `id` is what clients see. `deleted_us` set: a tombstone, which answers 410 for ever;
  0: its content has gone for good, 1: it goes as soon as can be, else when it was deleted (`purging`).
- `traces.reward` and `reward_group` repeat what the metadata say of them, so that rollouts are sorted by the database.
- `spans`: `n` is the order of arrival, which is the order of the conversation; a span sent again keeps its place.
  It is found by `place`, a number made of its id (`conversation`): an index of the ids would be three times as large, and
  as they are random, most of its pages would be written with every thousand spans of a long conversation.
- `series`: one row per (run, key, attempt, writer), with what the run page shows of it; points of different attempts
  and writers are never merged.
- `points`: clustered by (series, step, n); n counts a run's points in order of arrival. `value` is NULL where the
  value is no finite number that a double holds exactly; then `odd_values` has its JSON.
- `rollups`: min, max, sum, count and times of the finite values of 64, 1,024 and 16,384 steps (levels 0, 1, 2), so
  that a chart of 10^7 points reads about a thousand rows.
- `ranges`: which sequence numbers of a session's segment an endpoint has applied; merged where adjacent, kept for ever.
- `requests`: answers by idempotency key, kept for a while.
- `shares`: links to one run or trace (`target` is its `pk`); `agents`: what each machine's agent said of itself last.
- `media` are rows that name blobs by hash; the bytes are in the blob store.

Times are integer microseconds since 1970, UTC, except those that clients sent for traces, spans and runs, which are
kept as they came. JSON is ASCII text.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from tracehoused.house.store.columns import SafeString, SafeText

metadata = MetaData()

# SQLite numbers rows by itself only in a column of this very type.
_Auto = BigInteger().with_variant(Integer, "sqlite")


def _auto(name: str) -> Column[int]:
    return Column(name, _Auto, primary_key=True, autoincrement=True)


def _whole(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=null, default=default)


house = Table("house", metadata, Column("name", String, primary_key=True), Column("value", Text, nullable=False))

keys = Table(
    "keys",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("identity", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("label", SafeText, nullable=False),
    _whole("created_us"),
    _whole("expires_us", null=True),
    _whole("revoked_us", null=True),
)

shares = Table(
    "shares",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    _whole("target"),
    _whole("created_us"),
    _whole("expires_us", null=True),
    _whole("revoked_us", null=True),
)

agents = Table(
    "agents",
    metadata,
    Column("identity", String(64), primary_key=True),
    Column("machine", SafeText, primary_key=True),
    Column("hostname", SafeText),
    Column("version", SafeText),
    Column("last", String(64), nullable=False),
    Column("oldest", String(64)),
    _whole("pending", null=True),
    _whole("dead", null=True),
    _whole("requests"),
    _whole("first_us"),
    _whole("seen_us"),
)

traces = Table(
    "traces",
    metadata,
    _auto("pk"),
    Column("id", SafeString(64), nullable=False, unique=True),
    Column("identity", String(64), nullable=False),
    Column("machine", SafeText, nullable=False),
    Column("session_id", SafeText, nullable=False),
    Column("hostname", SafeText),
    Column("agent_version", SafeText),
    Column("started_at", Text, nullable=False),
    Column("scaffold", SafeText),
    Column("project", SafeText),
    Column("task_name", SafeText),
    Column("model", SafeText),
    _whole("run", null=True),
    _whole("rollout_step", null=True),
    Column("outcome", String(16)),
    Column("reward", Float(53)),
    Column("reward_group", SafeText),
    Column("metadata", Text),
    Column("extra", Text),
    _whole("created_us"),
    _whole("updated_us"),
    _whole("deleted_us", null=True),
    UniqueConstraint("identity", "machine", "session_id"),
    Index("traces_by_run", "run", "rollout_step", "pk"),
    Index("traces_by_reward", "run", "rollout_step", "reward", "deleted_us"),
)

spans = Table(
    "spans",
    metadata,
    _auto("n"),
    _whole("trace"),
    Column("id", SafeText, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", SafeText, nullable=False),
    Column("start_at", Text, nullable=False),
    Column("end_at", Text),
    Column("parent_span_id", SafeText),
    Column("status", SafeText),
    Column("attributes", Text, nullable=False),
    Column("extra", Text),
    _whole("place"),
    Index("spans_in_order", "trace", "n"),
    Index("spans_by_place", "trace", "place", unique=True),
)

runs = Table(
    "runs",
    metadata,
    _auto("pk"),
    Column("id", SafeString(64), nullable=False, unique=True),
    Column("identity", String(64), nullable=False),
    Column("machine", SafeText, nullable=False),
    Column("client_run_id", SafeText, nullable=False),
    Column("hostname", SafeText),
    Column("agent_version", SafeText),
    Column("name", SafeText, nullable=False),
    Column("project", SafeText),
    Column("started_at", Text, nullable=False),
    Column("ended_at", Text),
    Column("status", String(16), nullable=False),
    Column("config", Text),
    Column("hf_dataset", SafeText),
    Column("hf_dataset_split", SafeText),
    Column("hf_model", SafeText),
    Column("hf_model_revision", SafeText),
    Column("extra", Text),
    _whole("next_point"),
    _whole("created_us"),
    _whole("updated_us"),
    _whole("deleted_us", null=True),
    UniqueConstraint("identity", "machine", "client_run_id"),
)

series = Table(
    "series",
    metadata,
    _auto("id"),
    _whole("run"),
    _whole("attempt"),
    Column("writer", String(128), nullable=False),
    Column("key", SafeText, nullable=False),
    _whole("size"),
    _whole("last_step", null=True),
    _whole("last_us", null=True),
    Column("last_value", Float(53)),
    Column("last_json", Text),
    UniqueConstraint("run", "attempt", "writer", "key"),
)

points = Table(
    "points",
    metadata,
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    _whole("us"),
    Column("value", Float(53)),
    sqlite_with_rowid=False,
)

odd_values = Table(
    "odd_values",
    metadata,
    Column("series", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("nonfinite", Integer, nullable=False),
    Column("json", Text, nullable=False),
)

rollups = Table(
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

media = Table(
    "media",
    metadata,
    _auto("n"),
    Column("id", SafeString(64), nullable=False, unique=True),
    _whole("run"),
    Column("key", SafeText, nullable=False),
    _whole("step", null=True),
    Column("caption", SafeText),
    Column("media_type", String(16), nullable=False),
    Column("mime", String(128), nullable=False),
    Column("sha256", SafeString(64), nullable=False),
    _whole("size"),
    _whole("attempt"),
    Column("writer", String(128), nullable=False),
    _whole("created_us"),
    Index("media_of_run", "run", "key", "step", "n"),
    Index("media_by_hash", "sha256"),
)

artifacts = Table(
    "artifacts",
    metadata,
    _auto("n"),
    Column("id", SafeString(64), nullable=False, unique=True),
    _whole("run"),
    Column("name", SafeText, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("data", Text, nullable=False),
    _whole("attempt"),
    Column("writer", String(128), nullable=False),
    _whole("created_us"),
    Index("artifacts_of_run", "run", "n"),
)

ranges = Table(
    "ranges",
    metadata,
    Column("identity", String(64), primary_key=True),
    Column("uid", SafeString(128), primary_key=True),
    Column("segment", SafeString(128), primary_key=True),
    Column("endpoint", String(16), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    _whole("last"),
    sqlite_with_rowid=False,
)

requests = Table(
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
