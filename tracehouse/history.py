"""What a session's segments on this disk already say: where its steps have got to, its last values, and what it was told of itself."""

from __future__ import annotations

import json
import os
import re

from tracehouse.spool import headers, layout, manifest, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SYSTEM = "system/"
_STEP = re.compile(rb'\{"step":(-?[0-9]+)')


def next_step(directory: str) -> int:
    """The automatic step that follows all that was recorded, here or, where segments were removed, before that."""
    steps = [_receipt_step(directory)]
    for epoch, numbers in _segments(directory).items():
        steps.append(_reached(directory, epoch, numbers))
    return max(steps)


def _reached(directory: str, epoch: str, numbers: list[int]) -> int:
    """As one writer's last segment has it, whose header tells how far steps had got before; a kill or a power failure may have left
    that empty, and then the one before tells."""
    for n in reversed(numbers):
        step = max((_next_after(kind, data) for kind, data in _records(directory, epoch, [n])), default=0)
        if step:
            return step
    return 0


def _next_after(kind: bytes, data: bytes) -> int:
    if kind == b"metrics":
        found = _STEP.match(data)
        # the system's samples count by themselves
        return 0 if found is None or b'"values":{"system/' in data[:120] else int(found[1]) + 1
    if kind not in (b"segment", b"media"):
        return 0
    fields = json.loads(data)
    step = fields.get("next_step") if kind == b"segment" else fields.get("step", -1) + 1
    return int(step or 0)


def last_values(directory: str) -> dict[str, Any]:
    """The last value of each metric in a session, the system's aside; ``directory`` "" has none."""
    values: dict[str, Any] = {}
    for epoch, numbers in _segments(directory).items():
        for kind, data in _records(directory, epoch, numbers):
            if kind == b"metrics":
                values.update(_object(_object(json.loads(data)).get("values")))
    return {key: value for key, value in values.items() if not key.startswith(SYSTEM)}


def run_fields(directory: str) -> dict[str, Any]:
    """What a run was told of itself, later values before earlier ones: ``config`` (a dict), ``hf_model`` and its like."""
    fields: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for epoch, numbers in _segments(directory).items():
        for kind, data in _records(directory, epoch, numbers):
            if kind in (b"run", b"run_patch", b"config_patch"):
                told = _object(json.loads(data))
                config.update(told if kind == b"config_patch" else _object(told.pop("config", None)))
                fields.update({} if kind == b"config_patch" else told)
    return {**fields, "config": config}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _segments(directory: str) -> dict[str, list[int]]:
    """Numbers of the segments by epoch, ascending; the epochs in the order of their attempts and claims."""
    found: dict[str, list[int]] = {}
    try:
        names = sorted(os.listdir(directory)) if directory else []
    except OSError:
        return found
    for name in names:
        segment = layout.parse_segment_name(name)
        if segment is not None:
            found.setdefault(segment.epoch, []).append(segment.n)
    return dict(sorted(found.items(), key=lambda item: _order(directory, *item)))


def _order(directory: str, epoch: str, numbers: list[int]) -> tuple[int, int]:
    return headers.claim_in(os.path.join(directory, layout.segment_name(epoch, numbers[0]))) or (0, 0)


def _records(directory: str, epoch: str, numbers: list[int]) -> Iterator[tuple[bytes, bytes]]:
    """What cannot be read tells nothing."""
    try:
        seed = record.checksum_seed(manifest.read(directory).uid, epoch)
        for n in numbers:
            for _, kind, data in headers.records_in(os.path.join(directory, layout.segment_name(epoch, n)), seed):
                yield kind, data
    except (OSError, ValueError):
        return


def _receipt_step(directory: str) -> int:
    """What an agent noted when it removed segments: ``upload/<destination>/receipt.json``."""
    upload = os.path.join(directory, layout.UPLOAD)
    steps = [0]
    try:
        destinations = os.listdir(upload)
    except OSError:
        return 0
    for destination in destinations:
        try:
            with open(os.path.join(upload, destination, layout.RECEIPT), "rb") as file:
                steps.append(int(json.load(file).get("next_step") or 0))
        except (OSError, ValueError, TypeError, AttributeError):
            continue  # none there, or one that says nothing
    return max(steps)
