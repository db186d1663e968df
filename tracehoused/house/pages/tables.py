"""Nested values as lines of a table, and several of them side by side. No I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MOST_LINES = 5000
_DEEPEST = 8


@dataclass(frozen=True)
class Line:
    """`mine` and `other`: the values as texts, None where that side has none."""

    name: str
    mine: str | None
    other: str | None = None

    @property
    def differs(self) -> bool:
        return self.mine != self.other


def flat(value: Any) -> dict[str, str]:
    """Each value by its path, `model.layers`; lists of plain values stay whole. At most 5,000."""
    found: dict[str, str] = {}
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting and len(found) < _MOST_LINES:
        path, one, depth = waiting.pop()
        inner = _inner(one) if depth < _DEEPEST else None
        if inner:
            waiting += [(f"{path}.{name}" if path else name, item, depth + 1) for name, item in reversed(inner)]
        else:
            found[path] = one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
    return found


def _inner(value: Any) -> list[tuple[str, Any]] | None:
    if isinstance(value, dict):
        return None if value.get("_type") == "number" else list(value.items())
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return [(str(at), item) for at, item in enumerate(value)]
    return None


@dataclass(frozen=True)
class Differences:
    """`lines`: a name, and each side's text (None where it has none), of what is not the same on all sides; `of`: how many names."""

    lines: list[tuple[str, list[str | None]]]
    of: int


def differences(sides: Sequence[Any]) -> Differences:
    """What sets several values apart, in the order of the first."""
    texts = [flat(value) if value else {} for value in sides]
    names = list(dict.fromkeys(name for side in texts for name in side))
    rows = [(name, [side.get(name) for side in texts]) for name in names]
    return Differences([(name, row) for name, row in rows if len(set(row)) > 1], len(names))


def lines(mine: Any, other: Any = None, *, compared: bool = False) -> list[Line]:
    """The lines of one value, or of two where they are compared: in the order of the first, then what only the other has."""
    here = flat(mine) if mine else {}
    if not compared:
        return [Line(name, text) for name, text in here.items()]
    there = flat(other) if other else {}
    return [Line(name, here.get(name), there.get(name)) for name in dict.fromkeys([*here, *there])]
