"""Records as rows of tables: metrics (long form: one row for each key of each call), spans, and one row for each trace and each run.

=========== ========================================================================================================
metrics     ``session``, ``attempt``, ``key``, ``step``, ``wall_time``, ``value``
spans       ``session`` (of a rollout: its own), ``run`` (of a rollout: its run), ``attempt``, ``id``, ``parent_id``, ``kind``, ``name``,
            ``start_at``, ``end_at``, ``status``, ``text`` (what was said, called or answered), ``attributes`` (JSON)
traces      ``session``, ``run`` and ``step`` (of a rollout), ``project``, ``task_name``, ``model``, ``scaffold``, ``started_at``, ``spans``
            (how many), ``outcome``, ``reward`` (the metadata's, where it is a number), ``metadata`` (JSON)
runs        ``session``, ``attempt`` (the last), ``project``, ``name``, ``started_at``, ``ended_at``, ``status`` (null while it runs,
            or where its job told none), ``config`` (JSON)
=========== ========================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tracehouse.spool.manifest import Manifest
from tracehoused.export.records import Entry, Source, last_records, records_of_traces

__all__ = ["COLUMNS", "plain_number", "rows", "text_of"]

COLUMNS = {
    "metrics": ("session", "attempt", "key", "step", "wall_time", "value"),
    "spans": (
        "session", "run", "attempt", "id", "parent_id", "kind", "name", "start_at", "end_at", "status", "text", "attributes",
    ),
    "traces": (
        "session", "run", "step", "project", "task_name", "model", "scaffold", "started_at", "spans", "outcome", "reward", "metadata",
    ),
    "runs": ("session", "attempt", "project", "name", "started_at", "ended_at", "status", "config"),
}  # fmt: skip


def rows(what: str, source: Source) -> Iterator[tuple[Any, ...]]:
    """The rows of one of ``COLUMNS``, in the order of the records; values are as JSON gave them, NaN and infinities as floats."""
    if what == "traces":
        yield from _trace_rows(source)
    elif what == "runs":
        yield from _run_rows(source)
    else:
        make, wanted = (_metric_rows, "metrics") if what == "metrics" else (_span_rows, "span")
        for entry in source.entries():
            if entry.type == wanted:
                yield from make(source.manifest, entry)


def _metric_rows(manifest: Manifest, entry: Entry) -> Iterator[tuple[Any, ...]]:
    fields = entry.fields
    values = fields.get("values")
    for key, value in values.items() if isinstance(values, dict) else ():
        yield manifest.id, entry.attempt, key, fields.get("step"), fields.get("wall_time"), plain_number(value)


def _span_rows(manifest: Manifest, entry: Entry) -> Iterator[tuple[Any, ...]]:
    span = entry.fields
    attributes = span.get("attributes")
    yield (
        span.get("session_id") or manifest.id,
        manifest.id if manifest.kind == "run" else None,
        entry.attempt,
        *(span.get(name) for name in ("id", "parent_span_id", "kind", "name", "start_at", "end_at", "status")),
        text_of(attributes),
        _json(attributes),
    )


def _trace_rows(source: Source) -> Iterator[tuple[Any, ...]]:
    """In the order of their last records: no trace is held for longer. Reads the session twice."""
    last = last_records(source)
    held: dict[str, dict[str, Any]] = {}
    for at, entry, name in records_of_traces(source):
        told = held.setdefault(name, {"spans": 0})
        if entry.type == "span":
            told["spans"] += 1
        else:
            _merge(told, entry.fields, "metadata")
        if last.get(hash(name)) == at:
            yield _trace_row(source.manifest, name, held.pop(name))
    for name, told in held.items():
        yield _trace_row(source.manifest, name, told)


def _trace_row(manifest: Manifest, name: str, told: dict[str, Any]) -> tuple[Any, ...]:
    metadata = told.get("metadata")
    reward = plain_number(metadata.get("reward")) if isinstance(metadata, dict) else None
    return (
        name,
        manifest.id if manifest.kind == "run" else None,
        told.get("rollout_step"),
        told.get("project", manifest.project),
        *(told.get(field) for field in ("task_name", "model", "scaffold", "started_at", "spans", "outcome")),
        reward if isinstance(reward, (int, float)) and not isinstance(reward, bool) else None,
        _json(metadata),
    )


def _run_rows(source: Source) -> Iterator[tuple[Any, ...]]:
    """One, where the session is a run's."""
    told: dict[str, Any] = {}
    attempt = begun = 0
    epochs: set[str] = set()
    for entry in source.entries():
        if entry.type == "run":
            # what is said anew of the run's beginning changes nothing; but where it is begun again it has not ended
            anew = entry.attempt > begun or entry.epoch in epochs
            again = {"status": None, "ended_at": None} if anew else {}
            _merge(told, {"config": entry.fields.get("config"), **again} if epochs else entry.fields, "config")
            begun = entry.attempt
            epochs.add(entry.epoch)
        elif entry.type == "run_patch":
            _merge(told, entry.fields, "config")
        elif entry.type == "config_patch":
            _merge(told, {"config": entry.fields}, "config")
        attempt = max(attempt, entry.attempt)
    if source.manifest.kind == "run":
        project = told.get("project", source.manifest.project)
        times = (told.get(field) for field in ("started_at", "ended_at", "status"))
        name = told.get("name", source.manifest.name)
        yield source.manifest.id, attempt, project, name, *times, _json(told.get("config"))


def _merge(into: dict[str, Any], news: dict[str, Any], by_key: str) -> None:
    """Later values win; what is at ``by_key`` merges by key."""
    before, after = into.get(by_key), news.get(by_key)
    into.update(news)
    if isinstance(before, dict) and (after is None or isinstance(after, dict)):
        into[by_key] = {**before, **(after or {})}


def _json(value: object) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None


def text_of(attributes: object) -> str | None:
    """What a span says: its ``text`` or ``result_text``, as text."""
    if not isinstance(attributes, dict):
        return None
    said = attributes.get("text", attributes.get("result_text"))
    return said if said is None or isinstance(said, str) else json.dumps(said, ensure_ascii=False)


def plain_number(value: Any) -> Any:
    """NaN and infinities, which JSON holds as tagged objects, as floats; all else as it is."""
    if isinstance(value, dict) and value.get("_type") == "number":
        try:
            return float(value["value"])
        except (KeyError, TypeError, ValueError):
            return value
    return value
