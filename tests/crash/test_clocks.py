"""A15: a clock that jumps neither loses, kills nor deletes anything."""

from __future__ import annotations

from pathlib import Path

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import clocks


def test_a15_a_clock_step_loses_kills_and_deletes_nothing(tmp_path: Path) -> None:
    needs_house()
    hold(clocks.run, tmp_path, "faketime", count=6)
