"""From a session's records to OpenTelemetry spans. A trace is held until its last record, and no longer."""

from __future__ import annotations

from collections.abc import Iterator

from tracehoused.export.genai import convert
from tracehoused.export.otlp import Resource, Span
from tracehoused.export.records import Source, last_records, records_of_traces
from tracehoused.export.trace import Trace, root

__all__ = ["MOST_HELD", "spans"]

# spans of one trace; what joins spans that lie farther apart than this is not seen
MOST_HELD = 20_000


def spans(source: Source) -> Iterator[tuple[Resource, Span]]:
    """All spans of a session's traces, a chat trace's or a run's rollouts', and where they are from. Reads the session twice."""
    where = _resource(source)
    for span in _spans(source):
        yield where, span


def _spans(source: Source) -> Iterator[Span]:
    last = last_records(source)
    open_traces: dict[str, Trace] = {}
    for at, entry, name in records_of_traces(source):
        trace = open_traces.get(name)
        if trace is None:
            run = source.manifest.id if source.manifest.kind == "run" else None
            trace = open_traces[name] = Trace(source.manifest.uid, name, run)
        fields = entry.fields
        if entry.type == "span":
            trace.add_span(fields)
            if len(trace.held) >= MOST_HELD:
                yield from convert(trace)
        else:
            trace.add_fields(fields)
        if last.get(hash(name)) == at:
            yield from _whole(open_traces.pop(name))
    for trace in open_traces.values():
        yield from _whole(trace)


def _resource(source: Source) -> Resource:
    manifest = source.manifest
    return {
        "service.name": manifest.project or "tracehouse",
        "host.name": manifest.hostname,
        "host.id": manifest.machine_id,
        "tracehouse.session": manifest.id,
        "tracehouse.session.kind": manifest.kind,
        "tracehouse.session.uid": manifest.uid,
        "tracehouse.name": manifest.name,
    }


def _whole(trace: Trace) -> Iterator[Span]:
    yield from convert(trace)
    yield root(trace)
