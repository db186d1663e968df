"""A1, A2: the agent killed at any of its system calls, or its disk failing there, and another run: each record in the house once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import agent_errors, agent_kills


@pytest.mark.timeout(900)
def test_a1_an_agent_killed_at_any_system_call_repeats_and_loses_nothing(tmp_path: Path) -> None:
    needs_house()
    hold(agent_kills.run, tmp_path, "strace", count=60)


@pytest.mark.timeout(900)
def test_a2_an_agent_whose_disk_fails_goes_on_or_ends_with_a_word_and_a_next_one_delivers_all(tmp_path: Path) -> None:
    needs_house()
    hold(agent_errors.run, tmp_path, "strace", count=12)
