"""E4, E7: however processes begin and end, what any of them logged arrives once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import endings


@pytest.mark.timeout(900)
def test_e4_whatever_processes_are_made_and_end_all_they_logged_arrives_once(tmp_path: Path) -> None:
    """Every start and every ending."""
    needs_house()
    hold(endings.run, tmp_path, "house", count=20)


def test_e2_what_a_job_logged_that_the_kernel_killed_for_memory_arrives_once(tmp_path: Path) -> None:
    needs_house()
    hold(endings.run_killed, tmp_path, "root", count=1)
