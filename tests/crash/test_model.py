"""A1: jobs and agents that die at any effect, a house that dies within requests, power that is lost: each record is in the house once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import model


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a1_whichever_part_dies_wherever_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    needs_house()
    hold(lambda trial: model.run(trial, shrink=False), tmp_path, "house", count=4, seed=3)
