"""S5, A11: spools made to harm: what is sound beside them arrives, no key leaves, nothing outside is read, nothing raw is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import hostile, hostile_sessions

_AT_ONCE = 13


@pytest.mark.parametrize("first", range(0, len(hostile_sessions.KINDS), _AT_ONCE))
def test_s5_a_hostile_session_harms_nobody(tmp_path: Path, first: int) -> None:
    needs_house()
    kinds = list(hostile_sessions.KINDS)[first : first + _AT_ONCE]
    hold(lambda trial: hostile.together(trial, kinds), tmp_path, "root", count=1)
