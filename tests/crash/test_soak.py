"""A1 under everything at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import soak

_LEAST = 30  # blows in a minute, however slow the machine: three times as many are usual


@pytest.mark.timeout(900)
def test_a1_eight_jobs_two_agents_and_a_nemesis(tmp_path: Path) -> None:
    """A minute, with blows and jobs of every kind."""
    needs_house()
    hold(lambda trial: soak.run(trial, least=_LEAST), tmp_path, "house", count=sys.maxsize, minutes=1.0)
