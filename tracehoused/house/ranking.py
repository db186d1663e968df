"""What rollouts are sorted by, taken from a trace's metadata: `reward` and `group`. No I/O."""

from __future__ import annotations

import json
import math
from typing import Any

_LONGEST_GROUP = 500


def ranking(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The columns that a change of metadata changes: `reward`, a finite number or None, and `reward_group`, a text."""
    changed: dict[str, Any] = {}
    if metadata and "reward" in metadata:
        changed["reward"] = _number(metadata["reward"])
    if metadata and "group" in metadata:
        group = metadata["group"]
        text = group if isinstance(group, str) else json.dumps(group, ensure_ascii=False)
        changed["reward_group"] = None if group is None else text[:_LONGEST_GROUP]
    return changed


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
