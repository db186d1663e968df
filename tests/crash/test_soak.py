"""A1 under everything at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import is_full, needs_house
from tests.support.trials import hold
from tortures import soak

# with TRACEHOUSE_FULL=1 for as long as a short run of scripts/torture
_MINUTES = 1.0 if is_full() else 0.25


@pytest.mark.timeout(600)
def test_a1_eight_jobs_two_agents_and_a_nemesis(tmp_path: Path) -> None:
    needs_house()
    hold(soak.run, tmp_path, "house", count=soak.COUNT, minutes=_MINUTES)
