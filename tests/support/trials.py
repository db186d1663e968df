"""The rows of ``scripts/torture`` as tests: fewer points, the same verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from tests.support import lanes
from tortures.trial import Trial


def hold(run: Callable[[Trial], None], home: Path, lane: str, *, count: int, seed: int = 1, **more: float) -> Trial:
    """Make so many points of a row in an empty directory; what it needs and is not here skips as the lane, and what part of it needs by
    its own name, once the rest has been judged."""
    trial = Trial(home, seed=seed, count=count, minutes=more.get("minutes"))
    unavailable = trial.attempt(run)
    assert not trial.violations, "\n".join(what for _, what in trial.violations[:5])
    if unavailable:
        lanes.require(lane, unavailable)
    assert trial.made >= (count if trial.minutes is None else 1)
    assert trial.emitted
    for missing in sorted(trial.missing, key=lambda one: one.need not in lanes.required()):
        lanes.require(missing.need, str(missing))
    return trial
