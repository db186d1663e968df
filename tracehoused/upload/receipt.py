"""What remains of a session at a destination whose records were deleted here: ``upload/<destination>/receipt.json``."""

from __future__ import annotations

import json
import os
from typing import Any

from tracehouse.exceptions import TracehouseError
from tracehouse.spool import layout
from tracehoused.upload.facts import is_count
from tracehoused.upload.opening import read_file
from tracehoused.upload.reader import Epoch
from tracehoused.upload.state import SENSELESS, State

__all__ = ["ends_of", "read_receipt"]

_MOST = 1 << 20
_MOST_ENDS = 1000
_COUNTS = ("next_step", "attempt", "claim", "rollouts", "records", "bytes")


def read_receipt(directory: str) -> dict[str, Any] | None:
    """``directory``: a destination's, in the session. None where there is no receipt, or none that can be read; a number that is none
    is left out."""
    try:
        found = json.loads(read_file(os.path.join(directory, layout.RECEIPT), _MOST))
    except (TracehouseError, OSError, *SENSELESS):
        return None
    if not isinstance(found, dict):
        return None
    return {name: value for name, value in found.items() if name not in _COUNTS or is_count(value)}


def ends_of(known: dict[str, Any], state: State, epochs: list[Epoch]) -> dict[str, Any]:
    """The last segment and the last seq of each writer that are deleted: one that lives, for all that nobody knows, goes on behind them.
    Of those that an earlier receipt (``known``) tells, the latest."""
    before = known.get("ends")
    ends = dict(list(before.items())[-_MOST_ENDS:]) if isinstance(before, dict) else {}
    for epoch in epochs:
        ends.pop(epoch.id, None)
        ends[epoch.id] = [max(epoch.sizes), state.done[epoch.id].last if epoch.id in state.done else 0]
    return ends
