"""What a house takes and what was deleted from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from tracehoused.house.store.purging import NOW
from tracehoused.house.store.schema import media, runs, traces

_MOST = 200


def deleted(connection: Connection) -> list[dict[str, Any]]:
    """Runs and traces that can be brought back, the latest deleted first, without rollouts that went with their run."""
    of_run = select(runs).where(runs.c.deleted_us > NOW).order_by(runs.c.deleted_us.desc()).limit(_MOST)
    found = [
        {"kind": "run", "id": row.id, "name": row.name, "us": row.deleted_us} for row in connection.execute(of_run)
    ]
    with_run = select(runs.c.pk).where(runs.c.pk == traces.c.run, runs.c.deleted_us == traces.c.deleted_us).exists()
    alone = select(traces).where(traces.c.deleted_us > NOW, or_(traces.c.run.is_(None), ~with_run))
    rows = connection.execute(alone.order_by(traces.c.deleted_us.desc()).limit(_MOST))
    found += [
        {"kind": "trace", "id": row.id, "name": row.task_name or row.session_id, "us": row.deleted_us} for row in rows
    ]
    return sorted(found, key=lambda one: -int(one["us"]))[:_MOST]


def media_by_run(connection: Connection) -> list[Row[Any]]:
    """The runs whose media take most: id, name, project, deleted_us, files, bytes."""
    size = func.sum(media.c.size)
    query = select(
        runs.c.id, runs.c.name, runs.c.project, runs.c.deleted_us, func.count().label("files"), size.label("bytes")
    )
    query = query.join(media, media.c.run == runs.c.pk).group_by(runs.c.pk).order_by(size.desc()).limit(50)
    return list(connection.execute(query))
