"""How rewards lie, step by step, as numbers that a template draws. No I/O."""

from __future__ import annotations

from typing import Any

from tracehoused.house.store.rewards import BINS, Spread, part_of

CELL = 10
_SHADES = 8


def picture(spread: Spread | None, step: int) -> dict[str, Any] | None:
    """Cells (x, y, shade 1 to 8), columns (x, first, last, count, mean, chosen), the line of means as points, sizes."""
    if spread is None:
        return None
    most: dict[int, int] = {}
    for column, at, count in spread.cells:
        if at is not None:
            most[column] = max(most.get(column, 0), count)
    cells = [
        (column * CELL, (BINS - 1 - at) * CELL, max(1, round(count / most[column] * _SHADES)))
        for column, at, count in spread.cells
        if at is not None
    ]
    columns = [
        {"x": at * CELL, "first": first, "last": last, "count": count, "mean": mean, "chosen": first <= step <= last}
        for at, (first, last, count, mean) in enumerate(spread.columns)
    ]
    height = BINS * CELL
    line = [
        (at * CELL + CELL / 2, round(height - part_of(spread.low, spread.high, mean) * height, 2))
        for at, (_, _, _, mean) in enumerate(spread.columns)
        if mean is not None
    ]
    return {
        "cells": cells,
        "columns": columns,
        "line": " ".join(f"{x:g},{y:g}" for x, y in line) if len(line) > 1 else "",
        "width": len(columns) * CELL,
        "height": height,
        "low": spread.low,
        "high": spread.high,
        "known": bool(cells),
    }


def bar(reward: float, ends: tuple[float, float]) -> float:
    """How wide a reward's bar is, of 100."""
    least, most = ends
    return max(2.0, round(part_of(least, most, reward) * 100, 1)) if most > least else 2.0
