"""A1: jobs, their disk, agents and a house, with a crash between any two steps: each record is in the house once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import model


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a1_a_crash_between_any_two_steps_loses_and_repeats_nothing(tmp_path: Path) -> None:
    needs_house()
    hold(model.run, tmp_path, "house", count=8)
