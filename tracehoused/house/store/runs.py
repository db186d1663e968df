"""Runs, their media rows and artifacts: upserts, patches, tombstones."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from tracehoused.house.errors import deleted, unknown
from tracehoused.house.store.once import Caller, Once
from tracehoused.house.store.purging import check_undo
from tracehoused.house.store.schema import artifacts, media, runs, traces
from tracehoused.house.store.traces import merged
from tracehoused.house.training import NewArtifact, NewMedia, NewRun, RunPatch
from tracehoused.house.values import dump

# Made once: making them takes longer than what they do.
_RUN = select(runs).where(runs.c.id == bindparam("asked"))
_RUN_LOCKED = _RUN.with_for_update()
_ADD_MEDIA = insert(media)


def put_run(connection: Connection, caller: Caller, run: NewRun, now_us: int) -> tuple[str, bool]:
    """(server id, whether it was made now). A run that exists takes over what is given, config by key; it keeps its
    start and its status."""
    key = (
        runs.c.identity == caller.identity,
        runs.c.machine == caller.machine,
        runs.c.client_run_id == run.client_run_id,
    )
    row = connection.execute(select(runs).where(*key).with_for_update()).first()
    agent = {"hostname": caller.hostname, "agent_version": caller.agent_version}
    values: dict[str, Any] = {**run.values, **{name: value for name, value in agent.items() if value is not None}}
    values["updated_us"] = now_us
    if row is None:
        return _insert_run(connection, caller, run, values), True
    if row.deleted_us is not None:
        raise deleted("run", row.id)
    del values["started_at"]
    values.update(merged(row, "config", run.config), **merged(row, "extra", run.extra))
    connection.execute(update(runs).where(runs.c.pk == row.pk).values(values))
    return str(row.id), False


def _insert_run(connection: Connection, caller: Caller, run: NewRun, values: dict[str, Any]) -> str:
    run_id = secrets.token_hex(16)
    row = {
        **values,
        "id": run_id,
        "identity": caller.identity,
        "machine": caller.machine,
        "client_run_id": run.client_run_id,
        "status": "running",
        "next_point": 0,
        "created_us": values["updated_us"],
        "config": None if run.config is None else dump(run.config),
        "extra": None if run.extra is None else dump(run.extra),
    }
    connection.execute(insert(runs).values(row))
    return run_id


def find_run(connection: Connection, caller: Caller, client_run_id: str) -> str | None:
    query = select(runs.c.id).where(runs.c.identity == caller.identity, runs.c.machine == caller.machine)
    return connection.execute(query.where(runs.c.client_run_id == client_run_id)).scalar()


def run_row(connection: Connection, caller: Caller, run_id: str, *, lock: bool = False) -> Row[Any]:
    """The run with this id, if the caller may see it; Refusal 404 or 410."""
    row = connection.execute(_RUN_LOCKED if lock else _RUN, {"asked": run_id}).first()
    if row is None or not caller.sees_run(row):
        raise unknown("run", run_id)
    if row.deleted_us is not None:
        raise deleted("run", run_id)
    return row


def patch_run(connection: Connection, caller: Caller, run_id: str, patch: RunPatch, now_us: int) -> None:
    row = run_row(connection, caller, run_id, lock=True)
    values: dict[str, Any] = {
        **patch.values,
        **merged(row, "config", patch.config),
        **merged(row, "extra", patch.extra),
    }
    if values.get("status") == "running" and "ended_at" not in values:
        values["ended_at"] = None
    if values:
        connection.execute(update(runs).where(runs.c.pk == row.pk).values(**values, updated_us=now_us))


def delete_run(connection: Connection, caller: Caller, run_id: str, now_us: int) -> None:
    """Tombstones for the run and its rollouts. Their content is kept, so that this can be undone."""
    row = run_row(connection, caller, run_id)
    connection.execute(update(runs).where(runs.c.pk == row.pk).values(deleted_us=now_us))
    rollouts = update(traces).where(traces.c.run == row.pk, traces.c.deleted_us.is_(None))
    connection.execute(rollouts.values(deleted_us=now_us))


def restore_run(connection: Connection, caller: Caller, run_id: str, now_us: int) -> None:
    """Undo `delete_run`, for the run and the rollouts that went with it; Refusal 404, or 410 when it is too late."""
    row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
    if row is None or not caller.sees_run(row):
        raise unknown("run", run_id)
    if row.deleted_us is not None:
        check_undo(row.deleted_us, now_us)
        connection.execute(update(runs).where(runs.c.pk == row.pk).values(deleted_us=None))
        rollouts = update(traces).where(traces.c.run == row.pk, traces.c.deleted_us == row.deleted_us)
        connection.execute(rollouts.values(deleted_us=None))


def add_media(connection: Connection, run: int, once: Once, new: NewMedia, sha256: str, size: int, now_us: int) -> str:
    media_id = secrets.token_hex(16)
    row = {
        "id": media_id,
        "run": run,
        "key": new.key,
        "step": new.step,
        "caption": new.caption,
        "media_type": new.media_type,
        "mime": new.mime,
        "sha256": sha256,
        "size": size,
        "attempt": once.attempt,
        "writer": once.writer,
        "created_us": now_us,
    }
    connection.execute(_ADD_MEDIA, row)
    return media_id


def add_artifact(connection: Connection, run: int, once: Once, new: NewArtifact, now_us: int) -> str:
    """The id of the artifact; one that says the same as an earlier one is that one."""
    same = select(artifacts.c.id).where(
        artifacts.c.run == run,
        artifacts.c.name == new.name,
        artifacts.c.kind == new.kind,
        artifacts.c.attempt == once.attempt,
        artifacts.c.writer == once.writer,
        artifacts.c.data == new.data,
    )
    found = connection.execute(same).scalar()
    if found is not None:
        return str(found)
    artifact_id = secrets.token_hex(16)
    row = {
        "id": artifact_id,
        "run": run,
        "name": new.name,
        "kind": new.kind,
        "data": new.data,
        "attempt": once.attempt,
        "writer": once.writer,
        "created_us": now_us,
    }
    connection.execute(insert(artifacts).values(row))
    return artifact_id
