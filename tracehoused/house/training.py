"""What a client may say about runs, metrics, media and artifacts: requests checked and turned into rows. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracehoused.house import fields
from tracehoused.house.errors import Refusal, invalid
from tracehoused.house.values import (
    EXACT,
    INT64,
    MOST_ID,
    check_depth,
    dump,
    is_tagged_number,
    micros,
    nonfinite_name,
)

STATUSES = frozenset({"running", "finished", "failed", "crashed", "killed"})
MEDIA_TYPES = ("image", "video", "audio", "html", "file")
ARTIFACT_KINDS = frozenset({"json", "text", "params"})

_HF = ("hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision")
_RUN_FIELDS = frozenset({"name", "client_run_id", "started_at", "project", "config", *_HF})
_PATCH_FIELDS = frozenset({"status", "ended_at", "config_patch", *_HF})
_MIME = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}")


@dataclass(frozen=True)
class NewRun:
    client_run_id: str
    values: dict[str, str]
    config: dict[str, Any] | None
    extra: dict[str, Any] | None


@dataclass(frozen=True)
class RunPatch:
    values: dict[str, str]
    config: dict[str, Any] | None
    extra: dict[str, Any] | None


Point = tuple[int, int, "float | None", "str | None", int]


@dataclass(frozen=True)
class Points:
    """`by_key`: for each key its points (step, µs, value, JSON, whether non-finite), in the order of arrival; value is
    None where a double does not hold it, and then the JSON is given. `dropped`: points with an empty key."""

    by_key: dict[str, list[Point]]
    count: int
    dropped: int


@dataclass(frozen=True)
class NewMedia:
    key: str
    media_type: str
    mime: str
    step: int | None
    caption: str | None


@dataclass(frozen=True)
class NewArtifact:
    name: str
    kind: str
    data: str


def new_run(body: dict[str, Any]) -> NewRun:
    values = {
        "name": fields.text(body, "name", required=True),
        "started_at": fields.time(body, "started_at", required=True),
        **{name: fields.text(body, name) for name in ("project", *_HF)},
    }
    given = {name: value for name, value in values.items() if value is not None}
    client_run_id = fields.identifier(body, "client_run_id")
    return NewRun(client_run_id, given, fields.mapping(body, "config"), fields.extra(body, _RUN_FIELDS))


def run_patch(body: dict[str, Any]) -> RunPatch:
    values = {
        "status": fields.choice(body, "status", STATUSES),
        "ended_at": fields.time(body, "ended_at"),
        **{name: fields.text(body, name) for name in _HF},
    }
    given = {name: value for name, value in values.items() if value is not None}
    return RunPatch(given, fields.mapping(body, "config_patch"), fields.extra(body, _PATCH_FIELDS))


def points(body: dict[str, Any], now_us: int) -> Points:
    """The points of a batch; one without a time gets `now_us`. Refusals name the first bad point by `index`."""
    sent = fields.items(body, "points", required=True)
    by_key: dict[str, list[Point]] = {}
    times: dict[str | None, int] = {None: now_us}
    dropped = 0
    for at, point in enumerate(sent):
        try:
            key, step, value, wall_time = point["key"], point["step"], point["value"], point.get("wall_time")
            us = times.get(wall_time)
            if us is None:
                us = times[wall_time] = micros(wall_time)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
            raise _bad_point(point, at) from None
        if type(step) is not int or not -INT64 <= step < INT64 or not isinstance(key, str) or len(key) > MOST_ID:
            raise _bad_point(point, at)
        if not key:
            dropped += 1
            continue
        if type(value) is float and math.isfinite(value):
            row: Point = (step, us, value, None, 0)
        else:
            row = (step, us, *_value(value, at))
        rows = by_key.get(key)
        if rows is None:
            rows = by_key[key] = []
        rows.append(row)
    return Points(by_key, len(sent), dropped)


def _value(value: Any, at: int) -> tuple[float | None, str | None, int]:
    if isinstance(value, bool) or (isinstance(value, int) and -EXACT <= value <= EXACT):
        return float(value), None, 0
    if isinstance(value, float):
        if math.isfinite(value):
            return value, None, 0
        return None, dump({"_type": "number", "value": nonfinite_name(value)}), 1
    try:
        check_depth(value, "value")
    except Refusal as refusal:
        raise invalid(f"points[{at}]: {refusal.message}", index=at) from None
    return None, dump(value), int(is_tagged_number(value))


def _bad_point(point: Any, at: int) -> Refusal:
    wants = f"key (a string of at most {MOST_ID}), step (a whole number of 64 bits), value, wall_time (ISO 8601)"
    return invalid(f"points[{at}] must be an object with {wants}, got {fields.shown(point)}", index=at)


def new_media(query: Mapping[str, str], content_type: str | None) -> NewMedia:
    given: dict[str, Any] = dict(query)
    step = given.get("step")
    if step is not None:
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", step):
            raise invalid(f"step must be a whole number, got {fields.shown(step)}", field="step")
        given["step"] = int(step)
    mime = (content_type or "").split(";")[0].strip().lower()
    return NewMedia(
        fields.identifier(given, "key"),
        str(fields.choice(given, "media_type", MEDIA_TYPES, required=True)),
        mime if _MIME.fullmatch(mime) else "application/octet-stream",
        fields.whole(given, "step"),
        fields.text(given, "caption") or None,
    )


def new_artifact(body: dict[str, Any]) -> NewArtifact:
    if "data" not in body:
        raise invalid("data is missing", field="data")
    check_depth(body["data"], "data")
    kind = fields.choice(body, "kind", ARTIFACT_KINDS, required=True)
    return NewArtifact(fields.identifier(body, "name"), str(kind), dump(body["data"]))
