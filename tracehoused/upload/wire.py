"""From records to requests: the wire protocol's bodies, as bytes. Pure.

A span goes out as it lies in the segment; a metrics record becomes one point per key, with its numbers' text kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tracehoused.http.request import FileBody, Request, api_path
from tracehoused.upload.batch import ARTIFACTS, MEDIA, METRICS, SPANS, Batch, Render

__all__ = ["PointsRender", "batch_request", "create_request", "patch_request", "points", "renders"]

# {"step":3,"wall_time":"…","values":{"loss":0.5,"acc":true}} without what its numbers are made of, which is what a run's records have
# in common; all that is not of this shape takes the slow way
_IN_NUMBERS = b"0123456789.eE+-"
_FLAT = re.compile(
    rb'\{"stp":,"wall_tim":"[^"\\,\x00-\x1f]*","valus":\{(?:"[^"\\:,\x00-\x1f]+":(?:tru|fals)?(?:,(?!\})|(?=\})))+\}\}'
)
_VALUES_AT = len(b'"values":{')
_LONG_SHAPE = 4096
_TAG = b'"number"'
_NO_NAME = b'"":'
SCAFFOLD = "python-sdk"  # what traces are by, unless told otherwise
_PATHS = {METRICS: "metrics", MEDIA: "media", ARTIFACTS: "artifacts"}


def renders(nonfinite: bool | None) -> dict[str, Render]:
    """How each lane's records become parts of a body. ``nonfinite``: the server takes tagged NaN and infinities; None: it could not be
    asked, and records with any in them have to wait."""
    return {METRICS: PointsRender(nonfinite)}


class PointsRender:
    """Points of metrics records. ``omits``: so far there may have been numbers that are left out: without a name, or such as the server
    does not take."""

    def __init__(self, nonfinite: bool | None) -> None:
        self._nonfinite = nonfinite
        self.omits = False

    def __call__(self, data: bytes) -> tuple[bytes, int] | None:
        flat = _flat_points(data)
        if flat is not None:
            return flat
        made = points(data, bool(self._nonfinite))
        if self._nonfinite is None and made != points(data, True):
            return None
        if (self._nonfinite is False and _TAG in data) or _NO_NAME in data:
            self.omits = True
        return made

    def omitted(self, data: bytes) -> int:
        """How many numbers of a metrics record go out as no point."""
        try:
            return len(json.loads(data)["values"]) - points(data, bool(self._nonfinite))[1]
        except (ValueError, KeyError, TypeError, RecursionError):
            return 0


def points(data: bytes, nonfinite: bool) -> tuple[bytes, int]:
    """The points of one metrics record, joined by commas, and how many they are (0 when none can be sent)."""
    flat = _flat_points(data)
    if flat is not None:
        return flat
    try:
        return _points_slowly(data, nonfinite)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data, 1  # no metrics record of ours: the server refuses it, and it ends in the dead letters


def _flat_points(data: bytes) -> tuple[bytes, int] | None:
    """By cutting at the signs that its shape says are only between keys and values: none of them is in a key."""
    shape = data.translate(None, _IN_NUMBERS)
    number = _points_in(shape) if len(shape) <= _LONG_SHAPE else _points_in.__wrapped__(shape)
    if not number:
        return None
    step, wall_time, values = data[1:-2].split(b",", 2)
    made = values[_VALUES_AT:].replace(b'":', b"\0").replace(b',"', b',%b},{"key":"' % wall_time)
    return b'{"key":%b,%b}' % (made.replace(b"\0", b'",%b,"value":' % step), wall_time), number


@lru_cache(maxsize=256)
def _points_in(shape: bytes) -> int:
    """How many points records of this shape have; 0 where they are not flat."""
    return shape.count(b'":') - 3 if _FLAT.fullmatch(shape) else 0


def _points_slowly(data: bytes, nonfinite: bool) -> tuple[bytes, int]:
    fields = json.loads(data)
    common = {name: fields[name] for name in ("step", "wall_time") if name in fields}
    made = [
        dumps({"key": key, "step": common.get("step"), "value": value, "wall_time": common.get("wall_time")})
        for key, value in fields["values"].items()
        if key and (nonfinite or not _is_nonfinite(value))
    ]
    return b",".join(made), len(made)


def _is_nonfinite(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("_type") == "number" and value.get("value") in ("NaN", "Infinity", "-Infinity")
    return False


def dumps(value: object) -> bytes:
    """ValueError for what JSON cannot hold."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def with_field(data: bytes, name: str, value: str) -> bytes:
    """A JSON object's text with one more member."""
    joint = b"," if data[1:-1].strip() else b""
    return data[:-1] + joint + dumps(name) + b":" + dumps(value) + b"}"


def create_request(kind: str, data: bytes, run_id: str | None, key: str | None) -> Request:
    """The upsert of a trace or run from its record; a rollout's gets its run's server id."""
    body = with_field(data, "run_id", run_id) if run_id is not None else data
    return Request("POST", "/v1/traces" if kind == "trace" else "/v1/runs", body=body, key=key, expect="id")


def least_trace(session_id: str, began: str) -> bytes:
    """What a trace can be created by, of which nothing more is known than its id and a time."""
    return dumps({"session_id": session_id, "scaffold": SCAFFOLD, "started_at": began})


def many_traces_request(records: Sequence[bytes], run_id: str, key: str) -> Request:
    """The upserts of many rollouts at once, where the server takes them so."""
    traces = b",".join(with_field(data, "run_id", run_id) for data in records)
    return Request("POST", "/v1/spans", body=b'{"traces":[' + traces + b'],"spans":[]}', key=key)


def many_patches_request(patches: Sequence[dict[str, Any]], key: str) -> Request:
    """Patches of many rollouts at once, each with its ``session_id``."""
    return Request("POST", "/v1/spans", body=dumps({"traces": [], "spans": [], "patches": list(patches)}), key=key)


def patch_request(kind: str, server_id: str, fields: dict[str, Any], key: str) -> Request:
    path = api_path("v1", "traces" if kind == "trace" else "runs", server_id)
    return Request("PATCH", path, body=dumps(fields), key=key, expect="object")


def push_card_request(server_id: str, data: bytes, key: str) -> Request:
    return Request("POST", api_path("v1", "runs", server_id, "push_model_card"), body=data, key=key)


def batch_request(batch: Batch, server_id: str | None, *, uid: str, key: str, media: FileBody | None = None) -> Request:
    """The request of a batch; ``server_id`` is the run's, ``media`` the file of a media record."""
    bounds = batch.bounds
    covers = f"{uid}/{bounds.epoch}:{bounds.first}-{bounds.last}"
    if bounds.lane == SPANS:
        body = _joined(b'{"traces":[],"spans":[', batch.parts, b"]}")
        return Request("POST", "/v1/spans", body=body, key=key, range=covers, attempt=batch.attempt)
    assert server_id is not None
    path = api_path("v1", "runs", server_id, _PATHS[bounds.lane])
    if bounds.lane == METRICS:
        body = _joined(b'{"points":[', list(filter(None, batch.parts)), b"]}")
        expect = f"metrics:{batch.units}"
        return Request("POST", path, body=body, key=key, range=covers, attempt=batch.attempt, expect=expect)
    if bounds.lane == MEDIA:
        fields = json.loads(batch.parts[0])
        query = tuple(
            (name, str(fields[name])) for name in ("key", "media_type", "step", "caption") if _has(fields, name)
        )
        mime = str(fields.get("mime") or "application/octet-stream")
        return Request("POST", path, query, media, mime, key=key, range=covers, attempt=batch.attempt)
    return Request("POST", path, body=batch.parts[0], key=key, range=covers, attempt=batch.attempt)


def _joined(head: bytes, parts: list[bytes], tail: bytes) -> bytes:
    """Without a copy of all for the head and one for the tail."""
    if len(parts) < 2:
        return head + b"".join(parts) + tail
    return b",".join([head + parts[0], *parts[1:-1], parts[-1] + tail])


def _has(fields: dict[str, Any], name: str) -> bool:
    return fields.get(name) not in (None, "")
