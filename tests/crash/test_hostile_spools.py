"""S5, A11: spools made to harm: what is sound beside them arrives, no key leaves, nothing outside is read, nothing raw is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import hostile, hostile_sessions

_AT_ONCE = 13
_LARGE = ("deep", "1 GB")
_MANIFESTS = [
    kind for kind in hostile_sessions.KINDS if kind.startswith("manifest") and any(word in kind for word in _LARGE)
]
_ALONE = (*hostile_sessions.ROOTS, *_MANIFESTS)
_ANYBODYS = [kind for kind in hostile_sessions.KINDS if kind not in _ALONE]


@pytest.mark.parametrize("first", range(0, len(_ANYBODYS), _AT_ONCE))
def test_s5_a_hostile_session_harms_nobody(tmp_path: Path, first: int) -> None:
    needs_house()
    kinds = _ANYBODYS[first : first + _AT_ONCE]
    hold(lambda trial: hostile.together(trial, kinds), tmp_path, "house", count=1)


def test_s5_devices_and_files_of_another_owner_harm_nobody(tmp_path: Path) -> None:
    needs_house()
    hold(lambda trial: hostile.together(trial, list(hostile_sessions.ROOTS)), tmp_path, "root", count=1)


def test_s5_a_manifest_however_deep_or_large_takes_no_memory(tmp_path: Path) -> None:
    needs_house()
    assert len(_MANIFESTS) == 4
    hold(lambda trial: hostile.together(trial, _MANIFESTS), tmp_path, "house", count=1)
