"""One chat trace while its records come in, and the span of it as a whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tracehoused.export import otlp
from tracehoused.export.conversation import Recorded, span_id, worded
from tracehoused.export.times import nanoseconds

__all__ = ["Trace", "error_type", "model_told", "root"]

_PROVIDERS = {
    "claude": "anthropic",
    "command": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "gpt": "openai",
    "grok": "x_ai",
    "mistral": "mistral_ai",
}


@dataclass
class Trace:
    """One chat trace while its records come in. ``held``: its spans by id, a later one in place of an earlier; ``fields``: what its
    creation and patches said; ``run``: the client_run_id, of a rollout; ``first`` and ``last`` are in ns."""

    uid: str
    id: str
    run: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    held: dict[str, Recorded] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    asked: str | None = None
    answered: str | None = None

    def add_span(self, span: Recorded) -> None:
        self.held[span_id(span)] = span
        for at in (nanoseconds(span.get("start_at")), nanoseconds(span.get("end_at"))):
            if at is not None:
                self.first = at if self.first is None else min(self.first, at)
                self.last = at if self.last is None else max(self.last, at)

    def add_fields(self, fields: dict[str, Any]) -> None:
        """A creation or a patch: later values win, metadata merges by key."""
        metadata, known = fields.get("metadata"), self.fields.get("metadata")
        self.fields.update(fields)
        if isinstance(metadata, dict) and isinstance(known, dict):
            self.fields["metadata"] = {**known, **metadata}

    @property
    def model(self) -> str | None:
        found = self.fields.get("model")
        return found if isinstance(found, str) and found else None

    def ids(self, own: str, parent: str | None) -> tuple[str, str, str | None]:
        """The trace's, the span's, its parent's; "" is the root's."""
        above = None if parent is None else otlp.span_id(self.uid, self.id, parent)
        return otlp.trace_id(self.uid, self.id), otlp.span_id(self.uid, self.id, own), above

    def times(self, span: Recorded) -> tuple[int, int]:
        begin, end = nanoseconds(span.get("start_at")), nanoseconds(span.get("end_at"))
        if begin is None:
            begin = end if end is not None else self.first or 0
        return begin, begin if end is None else max(begin, end)


def root(trace: Trace) -> otlp.Span:
    """The span of the trace as a whole, once it has been converted."""
    fields = trace.fields
    begin = nanoseconds(fields.get("started_at"))
    begin = begin if begin is not None else trace.first or 0
    metadata = fields.get("metadata")
    error = metadata.get("error") if isinstance(metadata, dict) and fields.get("outcome") == "bad" else None
    agent = fields.get("scaffold")
    told = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": agent,
        "gen_ai.conversation.id": trace.id,
        **model_told(trace.model),
        "gen_ai.input.messages": trace.asked,
        "gen_ai.output.messages": trace.answered,
        "error.type": None if error is None else error_type(worded(error) or ""),
        "tracehouse.run": trace.run,
        **{
            f"tracehouse.{name}": fields.get(name)
            for name in ("project", "task_name", "outcome", "rollout_step", "metadata")
        },
    }
    name = f"invoke_agent {agent}" if isinstance(agent, str) else "invoke_agent"
    end = trace.last if trace.last is not None else begin
    return otlp.span(trace.ids("", None), name, otlp.INTERNAL, (begin, end), told, worded(error))


def model_told(model: str | None) -> dict[str, str | None]:
    """The attributes that name a model, and whose it is as far as its name tells."""
    provider = next((name for begin, name in _PROVIDERS.items() if model and model.lower().startswith(begin)), None)
    return {"gen_ai.request.model": model, "gen_ai.provider.name": provider}


def error_type(error: str) -> str:
    """The exception's name, where an error begins with one, as ``ValueError: …`` does."""
    name = error.partition(":")[0].strip()
    return name if name and all(part.isidentifier() for part in name.split(".")) else "_OTHER"
