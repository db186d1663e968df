"""The rows of ``scripts/torture`` as tests: fewer points, the same verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from tests.support import lanes
from tortures.trial import Trial, Unavailable


def hold(run: Callable[[Trial], None], home: Path, lane: str, *, count: int, seed: int = 1, **more: float) -> Trial:
    """Make so many points of a row in an empty directory; what it needs and is not here skips as the lane."""
    trial = Trial(home, seed=seed, count=count, minutes=more.get("minutes"))
    try:
        run(trial)
    except Unavailable as reason:
        lanes.require(lane, str(reason))
    assert not trial.violations, "\n".join(what for _, what in trial.violations[:5])
    assert trial.made >= (count if trial.minutes is None else 1)
    assert trial.emitted
    return trial
