"""Reading traces, runs, media and artifacts: JSON-ready objects, in pages.

A page is asked for by `after` (the cursor the last page gave as `next`) and `limit`; lists of traces and runs run from
the newest to the oldest, spans and rollouts in their own order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, false, func, or_, select

from tracehoused.house.store.once import Caller
from tracehoused.house.store.schema import artifacts, media, runs, series, spans, traces
from tracehoused.house.values import dump, iso

Object = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """`limit` objects after the cursor `after`; `like`: only those whose names contain it."""

    limit: int = 100
    after: int | None = None
    project: str | None = None
    like: str | None = None


@dataclass(frozen=True)
class Found:
    items: list[Object]
    next: int | None


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)


_TRACE_TEXTS = ("id", "session_id", "machine", "hostname", "agent_version", "started_at", "scaffold", "project")
_TRACE_REST = ("task_name", "model", "rollout_step", "outcome", "identity")
_RUN_TEXTS = ("id", "client_run_id", "machine", "hostname", "agent_version", "name", "project", "started_at")
_RUN_REST = ("ended_at", "status", "hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision", "identity")


def trace_object(row: Row[Any]) -> Object:
    """A row of `visible_traces()`."""
    known = {name: getattr(row, name) for name in (*_TRACE_TEXTS, *_TRACE_REST)}
    times = {"created_at": iso(row.created_us), "updated_at": iso(row.updated_us)}
    more = {"metadata": _loaded(row.metadata), "extra": _loaded(row.extra), "run_id": row.run_id}
    return {**known, **more, **times, "span_count": row.span_count}


def run_object(row: Row[Any]) -> Object:
    known = {name: getattr(row, name) for name in (*_RUN_TEXTS, *_RUN_REST)}
    times = {"created_at": iso(row.created_us), "updated_at": iso(row.updated_us)}
    return {**known, "config": _loaded(row.config), "extra": _loaded(row.extra), "points": row.next_point, **times}


def visible_traces(caller: Caller) -> Select[Any]:
    """Every trace that the caller may see, with `run_id` and `span_count`."""
    count = select(func.count()).where(spans.c.trace == traces.c.pk).scalar_subquery()
    query = select(traces, runs.c.id.label("run_id"), count.label("span_count"))
    query = query.select_from(traces.outerjoin(runs, runs.c.pk == traces.c.run)).where(traces.c.deleted_us.is_(None))
    if caller.owner:
        return query
    if caller.share is not None:
        kind, target = caller.share
        return query.where((traces.c.run if kind == "run" else traces.c.pk) == target)
    return query.where(traces.c.identity == caller.identity)


def like_pattern(text: str) -> str:
    """What LIKE … ESCAPE "\\\\" takes for "contains `text`"."""
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def paged(connection: Connection, query: Select[Any], page: Page, order: Any, make: Any) -> Found:
    """Newest first by the auto-numbered column `order`."""
    if page.after is not None:
        query = query.where(order < page.after)
    rows = connection.execute(query.order_by(order.desc()).limit(page.limit + 1)).all()
    kept = rows[: page.limit]
    following = getattr(kept[-1], order.name) if len(rows) > page.limit else None
    return Found([make(row) for row in kept], following)


def list_traces(connection: Connection, caller: Caller, page: Page, *, rollouts: bool = True) -> Found:
    query = visible_traces(caller)
    if not rollouts:
        query = query.where(traces.c.run.is_(None))
    if page.project is not None:
        query = query.where(traces.c.project == page.project)
    if page.like:
        names = (traces.c.task_name, traces.c.session_id, traces.c.model)
        query = query.where(or_(*(name.ilike(like_pattern(page.like), escape="\\") for name in names)))
    return paged(connection, query, page, traces.c.pk, trace_object)


def one_trace(connection: Connection, caller: Caller, trace_id: str) -> Object:
    return trace_object(connection.execute(visible_traces(caller).where(traces.c.id == trace_id)).one())


def list_runs(connection: Connection, caller: Caller, page: Page) -> Found:
    query = select(runs).where(runs.c.deleted_us.is_(None))
    if not caller.owner:
        query = query.where(runs.c.identity == caller.identity)
    if page.project is not None:
        query = query.where(runs.c.project == page.project)
    if page.like:
        names = (runs.c.name, runs.c.client_run_id)
        query = query.where(or_(*(name.ilike(like_pattern(page.like), escape="\\") for name in names)))
    return paged(connection, query, page, runs.c.pk, run_object)


def list_rollouts(connection: Connection, caller: Caller, run: int, page: Page, step: int | None = None) -> Found:
    """A run's rollouts by arrival; each has its `rollout_step`."""
    query = visible_traces(caller).where(traces.c.run == run)
    if step is not None:
        query = query.where(traces.c.rollout_step == step)
    if page.after is not None:
        query = query.where(traces.c.pk > page.after)
    rows = connection.execute(query.order_by(traces.c.pk).limit(page.limit + 1)).all()
    kept = rows[: page.limit]
    return Found([trace_object(row) for row in kept], kept[-1].pk if len(rows) > page.limit else None)


def spans_text(connection: Connection, trace: Row[Any], page: Page) -> tuple[list[str], int | None]:
    """A trace's spans in the order of the conversation, each as the JSON text of the wire object: what was stored as
    JSON is not parsed and encoded again."""
    query = select(spans).where(spans.c.trace == trace.pk)
    if page.after is not None:
        query = query.where(spans.c.n > page.after)
    rows = connection.execute(query.order_by(spans.c.n).limit(page.limit + 1)).all()
    kept = rows[: page.limit]
    return [span_text(trace.session_id, row) for row in kept], kept[-1].n if len(rows) > page.limit else None


def span_text(session_id: str, row: Row[Any]) -> str:
    head = {"id": row.id, "session_id": session_id, "kind": row.kind, "name": row.name, "start_at": row.start_at}
    optional = {"end_at": row.end_at, "parent_span_id": row.parent_span_id, "status": row.status}
    head.update({name: value for name, value in optional.items() if value is not None})
    extra = "" if row.extra is None else f',"extra":{row.extra}'
    return f'{dump(head)[:-1]},"attributes":{row.attributes}{extra}}}'


def metric_summary(connection: Connection, run: int) -> list[Object]:
    """One object per series: its number in this house, key, attempt, writer, count and its last point."""
    query = select(series).where(series.c.run == run).order_by(series.c.key, series.c.attempt, series.c.id)
    return [
        {
            "id": row.id,
            "key": row.key,
            "attempt": row.attempt,
            "writer": row.writer,
            "count": row.size,
            "last_step": row.last_step,
            "last_value": row.last_value if row.last_json is None else json.loads(row.last_json),
            "last_time": iso(row.last_us),
        }
        for row in connection.execute(query)
    ]


def media_object(row: Row[Any]) -> Object:
    names = ("id", "key", "step", "caption", "media_type", "mime", "sha256", "size", "attempt", "writer")
    known = {name: getattr(row, name) for name in names}
    return {**known, "created_at": iso(row.created_us), "url": f"/v1/media/{row.id}"}


def list_media(connection: Connection, run: int, page: Page, key: str | None = None) -> Found:
    query = select(media).where(media.c.run == run)
    if key is not None:
        query = query.where(media.c.key == key)
    if page.after is not None:
        query = query.where(media.c.n > page.after)
    rows = connection.execute(query.order_by(media.c.n).limit(page.limit + 1)).all()
    kept = rows[: page.limit]
    return Found([media_object(row) for row in kept], kept[-1].n if len(rows) > page.limit else None)


def find_media(connection: Connection, caller: Caller, name: str) -> Object | None:
    """A medium by its id or its SHA-256, if the caller may see it."""
    query = select(media).join(runs, runs.c.pk == media.c.run).where(runs.c.deleted_us.is_(None))
    query = query.where(or_(media.c.id == name, media.c.sha256 == name))
    if caller.share is not None:
        query = query.where(runs.c.pk == caller.share[1] if caller.share[0] == "run" else false())
    elif not caller.owner:
        query = query.where(runs.c.identity == caller.identity)
    row = connection.execute(query.order_by(media.c.n.desc()).limit(1)).first()
    return None if row is None else media_object(row)


def named_artifacts(connection: Connection, run: int, name: str) -> list[Object]:
    """A run's artifacts of one name, in the order of arrival; at most 100."""
    query = select(artifacts).where(artifacts.c.run == run, artifacts.c.name == name).order_by(artifacts.c.n).limit(100)
    return [artifact_object(row) for row in connection.execute(query)]


def newest_artifacts(connection: Connection, run: int, most: int) -> list[Object]:
    """So many of a run's artifacts as arrived last, in the order of arrival."""
    query = select(artifacts).where(artifacts.c.run == run).order_by(artifacts.c.n.desc()).limit(most)
    return [artifact_object(row) for row in reversed(connection.execute(query).all())]


def artifact_object(row: Row[Any]) -> Object:
    known = {name: getattr(row, name) for name in ("id", "name", "kind", "attempt", "writer")}
    return {**known, "data": json.loads(row.data), "created_at": iso(row.created_us)}


def list_artifacts(connection: Connection, run: int, page: Page) -> Found:
    query = select(artifacts).where(artifacts.c.run == run)
    if page.after is not None:
        query = query.where(artifacts.c.n > page.after)
    rows = connection.execute(query.order_by(artifacts.c.n).limit(page.limit + 1)).all()
    kept = rows[: page.limit]
    return Found([artifact_object(row) for row in kept], kept[-1].n if len(rows) > page.limit else None)
