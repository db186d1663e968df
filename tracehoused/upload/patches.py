"""Patches of one round folded: one request for each trace or run they change. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tracehoused.upload.batch import Record

__all__ = ["Patch", "fold", "target_of", "without"]


@dataclass
class Patch:
    """What is to be changed at ``target`` (a client's id): ``fields`` of the request, and ``seqs`` of the records in it.

    A run's status and its end are not in ``fields``: they go last, when all writers have ended.
    """

    kind: str
    target: str
    fields: dict[str, Any] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)
    is_card: bool = False

    @property
    def outcome(self) -> str | None:
        return self.fields.get("outcome")


def target_of(kind: bytes, fields: dict[str, Any], session_id: str = "") -> tuple[str, str]:
    """(kind, client's id) of what a record of this type creates or changes. ``session_id``: of the session, which it need not name."""
    if kind in (b"trace", b"trace_patch"):
        return "trace", str(fields.get("session_id", session_id))
    return "run", session_id


def fold(records: Iterable[Record], session_id: str) -> list[Patch]:
    """In order of each target's first patch; later fields win, metadata and config merge by key."""
    folded: dict[tuple[str, str], Patch] = {}
    cards = []
    for record in records:
        fields = json.loads(record.data)
        if record.type == b"push_model_card":
            cards.append(Patch("run", session_id, fields, [record.seq], is_card=True))
            continue
        kind, target = target_of(record.type, fields, session_id)
        patch = folded.setdefault((kind, target), Patch(kind, target))
        patch.seqs.append(record.seq)
        if record.type == b"config_patch":
            fields = {"config_patch": fields}
        elif kind == "trace":
            fields.pop("session_id", None)
        else:
            fields = {name: value for name, value in fields.items() if name not in ("status", "ended_at")}
        _merge(patch.fields, fields)
    return [*folded.values(), *cards]


def without(fields: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    """What of these fields is left when later ones have been merged into them."""
    left = {}
    for name, value in fields.items():
        if _is_merged(name, value, news.get(name)):
            rest = {key: one for key, one in value.items() if key not in news[name]}
            if rest:
                left[name] = rest
        elif name not in news:
            left[name] = value
    return left


def _merge(into: dict[str, Any], news: dict[str, Any]) -> None:
    for name, value in news.items():
        if _is_merged(name, value, into.get(name)):
            into[name] = {**into[name], **value}
        else:
            into[name] = value


def _is_merged(name: str, one: object, other: object) -> bool:
    return name in ("metadata", "config_patch") and isinstance(one, dict) and isinstance(other, dict)
