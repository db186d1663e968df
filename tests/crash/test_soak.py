"""A1 under everything at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import soak


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_a1_eight_jobs_two_agents_and_a_nemesis_for_a_minute(tmp_path: Path) -> None:
    needs_house()
    hold(soak.run, tmp_path, "house", count=soak.COUNT, minutes=1)
