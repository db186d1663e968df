"""Traces and their spans: upserts, patches, tombstones."""

from __future__ import annotations

import json
import secrets
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from tracehoused.house.chat import NewTrace, SpanBatch, TracePatch
from tracehoused.house.errors import Refusal, deleted, unknown
from tracehoused.house.store import conversation
from tracehoused.house.store.once import Caller
from tracehoused.house.store.purging import check_undo
from tracehoused.house.store.schema import runs, traces
from tracehoused.house.values import dump

_NUMBERS = select(traces.c.session_id, traces.c.pk, traces.c.deleted_us).where(
    traces.c.identity == bindparam("of"),
    traces.c.machine == bindparam("on"),
    traces.c.session_id.in_(bindparam("names", expanding=True)),
)
_TOUCH = update(traces).where(traces.c.pk.in_(bindparam("names", expanding=True))).values(updated_us=bindparam("now"))
# SQLite's default allows 999 values in a statement.
_MOST_NAMES = 500


def put_trace(connection: Connection, caller: Caller, trace: NewTrace, now_us: int) -> tuple[str, bool]:
    """(server id, whether it was made now). A trace that exists takes over what is given, and keeps its start."""
    key = (
        traces.c.identity == caller.identity,
        traces.c.machine == caller.machine,
        traces.c.session_id == trace.session_id,
    )
    row = connection.execute(select(traces).where(*key).with_for_update()).first()
    values: dict[str, Any] = {**trace.values, **_agent(caller), "updated_us": now_us}
    if trace.run_id is not None:
        values["run"] = _run_number(connection, caller, trace.run_id)
    if row is None:
        return _insert_trace(connection, caller, trace, values), True
    if row.deleted_us is not None:
        raise deleted("trace", row.id)
    del values["started_at"]
    values.update(merged(row, "extra", trace.extra))
    connection.execute(update(traces).where(traces.c.pk == row.pk).values(values))
    return str(row.id), False


def _insert_trace(connection: Connection, caller: Caller, trace: NewTrace, values: dict[str, Any]) -> str:
    trace_id = secrets.token_hex(16)
    row = {
        **values,
        "id": trace_id,
        "identity": caller.identity,
        "machine": caller.machine,
        "session_id": trace.session_id,
        "created_us": values["updated_us"],
        "extra": None if trace.extra is None else dump(trace.extra),
    }
    connection.execute(insert(traces).values(row))
    return trace_id


def _agent(caller: Caller) -> dict[str, str]:
    given = {"hostname": caller.hostname, "agent_version": caller.agent_version}
    return {name: value for name, value in given.items() if value is not None}


def _run_number(connection: Connection, caller: Caller, run_id: str) -> int:
    query = select(runs.c.pk, runs.c.deleted_us).where(runs.c.id == run_id, runs.c.identity == caller.identity)
    row = connection.execute(query).first()
    if row is None:
        raise unknown("run", run_id)
    if row.deleted_us is not None:
        raise deleted("run", run_id)
    return int(row.pk)


def find_trace(connection: Connection, caller: Caller, session_id: str) -> str | None:
    query = select(traces.c.id).where(traces.c.identity == caller.identity, traces.c.machine == caller.machine)
    return connection.execute(query.where(traces.c.session_id == session_id)).scalar()


def put_spans(connection: Connection, caller: Caller, batch: SpanBatch, now_us: int) -> list[dict[str, Any]]:
    """Apply a batch; what became of its `traces` is returned as [{session_id, id, created}]."""
    made = []
    for trace in batch.traces:
        trace_id, created = put_trace(connection, caller, trace, now_us)
        made.append({"session_id": trace.session_id, "id": trace_id, "created": created})
    patched = [session_id for session_id, _ in batch.patches]
    numbers = _trace_numbers(connection, caller, list(dict.fromkeys([*batch.by_session, *patched])))
    rows = [
        (number, *row) for session_id, number in numbers.items() for row in batch.by_session.get(session_id, ())
    ]  # SQLite orders a conversation by these rows' numbers, which follow this list
    conversation.put(connection, rows)
    for names in _portions(list(numbers.values())):
        connection.execute(_TOUCH, {"now": now_us, "names": names})
    for session_id, patch in batch.patches:
        row = connection.execute(select(traces).where(traces.c.pk == numbers[session_id])).one()
        _patch_row(connection, row, patch, now_us)
    return made


def _trace_numbers(connection: Connection, caller: Caller, session_ids: list[str]) -> dict[str, int]:
    rows: list[Any] = []
    for names in _portions(session_ids):
        asked = {"of": caller.identity, "on": caller.machine, "names": names}
        rows += connection.execute(_NUMBERS, asked).all()
    found = {row.session_id: row.pk for row in rows}
    missing = [name for name in session_ids if name not in found]
    if missing:
        raise Refusal(404, "unknown_session", f"no trace has session_id {missing[0]!r}", sessions=missing)
    gone = [row.session_id for row in rows if row.deleted_us is not None]
    if gone:
        raise Refusal(410, "deleted", f"the trace of session {gone[0]!r} was deleted here", sessions=gone)
    return {name: found[name] for name in session_ids}


def _portions(items: list[Any]) -> list[list[Any]]:
    return [items[at : at + _MOST_NAMES] for at in range(0, len(items), _MOST_NAMES)]


def patch_trace(connection: Connection, caller: Caller, trace_id: str, patch: TracePatch, now_us: int) -> None:
    _patch_row(connection, trace_row(connection, caller, trace_id), patch, now_us)


def _patch_row(connection: Connection, row: Row[Any], patch: TracePatch, now_us: int) -> None:
    values = {**patch.values, **merged(row, "metadata", patch.metadata), **merged(row, "extra", patch.extra)}
    if values:
        connection.execute(update(traces).where(traces.c.pk == row.pk).values(**values, updated_us=now_us))


def merged(row: Row[Any], column: str, new: dict[str, Any] | None) -> dict[str, str]:
    """The column with `new` laid over it by key, as an assignment; empty if there is nothing new."""
    if not new:
        return {}
    old = getattr(row, column)
    return {column: dump({**(json.loads(old) if old else {}), **new})}


def trace_row(connection: Connection, caller: Caller, trace_id: str) -> Row[Any]:
    """The trace with this id, if the caller may see it; Refusal 404 or 410."""
    row = connection.execute(select(traces).where(traces.c.id == trace_id)).first()
    if row is None or not caller.sees_trace(row):
        raise unknown("trace", trace_id)
    if row.deleted_us is not None:
        raise deleted("trace", trace_id)
    return row


def delete_trace(connection: Connection, caller: Caller, trace_id: str, now_us: int) -> None:
    """A tombstone: it answers 410 from now on. Its spans are kept, so that this can be undone."""
    row = trace_row(connection, caller, trace_id)
    connection.execute(update(traces).where(traces.c.pk == row.pk).values(deleted_us=now_us))


def restore_trace(connection: Connection, caller: Caller, trace_id: str, now_us: int) -> None:
    """Undo `delete_trace`; Refusal 404, 410 when it is too late, 409 where its run is deleted: it would go with that."""
    row = connection.execute(select(traces).where(traces.c.id == trace_id)).first()
    if row is None or not caller.sees_trace(row):
        raise unknown("trace", trace_id)
    if row.deleted_us is not None:
        check_undo(row.deleted_us, now_us)
        if connection.execute(select(runs.c.deleted_us).where(runs.c.pk == row.run)).scalar() is not None:
            raise Refusal(409, "run_deleted", "its run is deleted: bring that back first")
    connection.execute(update(traces).where(traces.c.pk == row.pk).values(deleted_us=None))
