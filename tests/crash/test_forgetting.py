"""A2, A4: pruned sessions that go on, houses that were wiped, that deleted a run, that changed their key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import forgetting


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a2_what_is_deleted_here_is_there_once_and_a_session_goes_on_from_it(tmp_path: Path, seed: int) -> None:
    needs_house()
    hold(forgetting.run, tmp_path, "house", count=4, seed=seed)
