"""What a client may say about traces and spans: request bodies checked and turned into rows. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracehoused.house import fields
from tracehoused.house.errors import Refusal, invalid
from tracehoused.house.ranking import ranking
from tracehoused.house.text import place_of, stored, stored_or_none
from tracehoused.house.values import MOST_ID, check_depth, dump, is_time

KINDS = frozenset({"user_msg", "assistant_msg", "tool_use", "tool_result", "thinking", "attachment"})
OUTCOMES = frozenset({"good", "bad", "neutral"})
# in one body, so that none holds the writer for long
MOST_TRACES = 500

_TRACE_FIELDS = frozenset(
    {"session_id", "started_at", "scaffold", "project", "task_name", "model", "run_id", "rollout_step"}
)
_PATCH_TEXTS = ("task_name", "model", "scaffold")
_PATCH_FIELDS = frozenset({"outcome", "metadata", *_PATCH_TEXTS})
_SPAN_FIELDS = frozenset(
    {"id", "session_id", "kind", "name", "start_at", "attributes", "end_at", "parent_span_id", "status"}
)


@dataclass(frozen=True)
class NewTrace:
    session_id: str
    run_id: str | None
    values: dict[str, Any]
    extra: dict[str, Any] | None


@dataclass(frozen=True)
class TracePatch:
    values: dict[str, Any]
    metadata: dict[str, Any] | None
    extra: dict[str, Any] | None


@dataclass(frozen=True)
class SpanBatch:
    """`by_session`: for each session its rows, without the trace's number:
    (id, kind, name, start_at, end_at, parent_span_id, status, attributes, extra, place of the id), in the order of arrival.
    `patches`, by session, come after traces and spans."""

    traces: list[NewTrace]
    by_session: dict[str, list[tuple[Any, ...]]]
    patches: list[tuple[str, TracePatch]]
    count: int


def new_trace(body: dict[str, Any]) -> NewTrace:
    values = {
        "started_at": fields.time(body, "started_at", required=True),
        "scaffold": fields.text(body, "scaffold"),
        "project": fields.text(body, "project"),
        "task_name": fields.text(body, "task_name"),
        "model": fields.text(body, "model"),
        "rollout_step": fields.whole(body, "rollout_step"),
    }
    given = {name: value for name, value in values.items() if value is not None}
    session_id = fields.identifier(body, "session_id")
    return NewTrace(session_id, fields.text(body, "run_id"), given, fields.extra(body, _TRACE_FIELDS))


def trace_patch(body: dict[str, Any]) -> TracePatch:
    values = {name: fields.text(body, name) for name in _PATCH_TEXTS}
    values["outcome"] = fields.choice(body, "outcome", OUTCOMES)
    given = {name: value for name, value in values.items() if value is not None}
    metadata = fields.mapping(body, "metadata")
    return TracePatch({**given, **ranking(metadata)}, metadata, fields.extra(body, _PATCH_FIELDS))


def span_batch(body: dict[str, Any]) -> SpanBatch:
    for name in ("traces", "patches"):
        if len(fields.items(body, name)) > MOST_TRACES:
            raise invalid(f"at most {MOST_TRACES} {name} at a time", field=name)
    traces = [new_trace(_object(item, "traces", at)) for at, item in enumerate(fields.items(body, "traces"))]
    spans = fields.items(body, "spans", required=True)
    by_session: dict[str, list[tuple[Any, ...]]] = {}
    for at, span in enumerate(spans):
        try:
            session_id, row = _span(_object(span, "spans", at))
        except Refusal as refusal:
            raise invalid(f"spans[{at}]: {refusal.message}", index=at) from None
        rows = by_session.get(session_id)
        if rows is None:
            rows = by_session[session_id] = []
        rows.append(row)
    patches = [_session_patch(item, at) for at, item in enumerate(fields.items(body, "patches"))]
    return SpanBatch(traces, by_session, patches, len(spans))


def _session_patch(item: Any, at: int) -> tuple[str, TracePatch]:
    body = dict(_object(item, "patches", at))
    try:
        session_id = fields.identifier(body, "session_id")
        del body["session_id"]
        return session_id, trace_patch(body)
    except Refusal as refusal:
        raise invalid(f"patches[{at}]: {refusal.message}", index=at) from None


def _object(item: Any, where: str, at: int) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise invalid(f"{where}[{at}] must be a JSON object, got {fields.shown(item)}", index=at)
    return item


def _span(span: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    get = span.get
    kind, attributes, start_at, end_at = get("kind"), get("attributes"), get("start_at"), get("end_at")
    session_id, span_id, name = get("session_id"), get("id"), get("name")
    if not (isinstance(kind, str) and kind in KINDS):
        raise invalid(f"kind must be one of {', '.join(sorted(KINDS))}, got {fields.shown(kind)}")
    if not (isinstance(session_id, str) and isinstance(span_id, str) and isinstance(name, str)):
        raise invalid("id, session_id and name must be strings")
    if not (0 < len(span_id) <= MOST_ID and 0 < len(session_id) <= MOST_ID):
        raise invalid(f"id and session_id must have 1 to {MOST_ID} characters")
    if not is_time(start_at) or not (end_at is None or end_at == start_at or is_time(end_at)):
        raise invalid(
            f"start_at and end_at must be ISO 8601 times, got {fields.shown(start_at)}, {fields.shown(end_at)}"
        )
    if not isinstance(attributes, dict):
        raise invalid(f"attributes must be a JSON object, got {fields.shown(attributes)}")
    for value in attributes.values():
        if isinstance(value, (dict, list)):
            check_depth(attributes, "attributes")
            break
    extra = None if _SPAN_FIELDS.issuperset(span) else fields.extra(span, _SPAN_FIELDS)
    kept_id = stored(span_id)
    row = (
        kept_id,
        kind,
        stored(name),
        start_at,
        end_at,
        None if get("parent_span_id") is None else stored_or_none(fields.text(span, "parent_span_id")),
        None if get("status") is None else stored_or_none(fields.text(span, "status")),
        dump(attributes),
        None if extra is None else dump(extra),
        place_of(kept_id),
    )
    return session_id, row
