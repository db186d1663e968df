"""A1, A8, S1: agents that take over from one another, and copies of a spool, leave each record in the house once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import agents


@pytest.mark.timeout(900)
def test_a8_an_agent_stopped_beyond_its_lease_and_a_copy_synced_beside_repeat_nothing(tmp_path: Path) -> None:
    """The first point waits half a minute for a lease to expire, while the others are made."""
    needs_house()
    hold(agents.run, tmp_path, "rsync", count=6)
