"""Traces that belong to no run, newest first, with how each began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from tracehoused.house.store.look import Found, Page, like_pattern, paged, trace_object, visible_traces
from tracehoused.house.store.once import Caller
from tracehoused.house.store.schema import spans, traces
from tracehoused.house.store.talk import holds

SIZE = 100
MOST_SPANS = 100_000


@dataclass(frozen=True)
class Asked:
    """Which traces, and behind which cursor. `said`: `like` is looked for in what was said, not in names."""

    project: str | None = None
    like: str | None = None
    outcome: str | None = None
    after: int | None = None
    said: bool = False


def find_traces(connection: Connection, caller: Caller, asked: Asked) -> Found:
    where: list[ColumnElement[bool]] = [traces.c.run.is_(None)]
    if asked.project is not None:
        where.append(traces.c.project == asked.project)
    if asked.outcome is not None:
        where.append(traces.c.outcome == asked.outcome)
    if asked.like is not None and asked.said:
        where.append(traces.c.pk.in_(_with_word(asked.like)))
    elif asked.like is not None:
        names = (traces.c.task_name, traces.c.session_id, traces.c.model, traces.c.machine)
        where.append(or_(*(name.ilike(like_pattern(asked.like), escape="\\") for name in names)))
    query = visible_traces(caller).where(*where)
    return paged(connection, query, Page(SIZE, asked.after), traces.c.pk, trace_object)


def _with_word(word: str) -> Select[Any]:
    """No index has what was said: of a house with millions of spans the newest are read, so that an answer takes no longer than that."""
    newest = select(func.coalesce(func.max(spans.c.n), 0)).scalar_subquery()
    return select(spans.c.trace).where(spans.c.n > newest - MOST_SPANS, holds(word))


def projects(connection: Connection, caller: Caller) -> list[str]:
    query = select(traces.c.project).where(traces.c.run.is_(None), traces.c.project.is_not(None))
    if not caller.owner:
        query = query.where(traces.c.identity == caller.identity)
    found: list[Any] = list(connection.execute(query.distinct()).scalars())
    return sorted(found)
