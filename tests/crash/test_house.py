"""The house under kills, repeats and malformed requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import is_full, needs_house
from tests.support.trials import hold
from tortures import house_fuzz, house_kills, house_repeats


@pytest.mark.timeout(900)
def test_a_house_killed_under_load_has_what_it_acknowledged(tmp_path: Path) -> None:
    needs_house()
    hold(house_kills.run, tmp_path, "house", count=4)


@pytest.mark.timeout(900)
def test_a1_a_request_that_comes_a_thousand_times_has_one_effect(tmp_path: Path) -> None:
    needs_house()
    hold(house_repeats.run, tmp_path, "house", count=house_repeats.COUNT)


@pytest.mark.timeout(900)
def test_no_malformed_request_makes_the_house_fail_or_changes_anything(tmp_path: Path) -> None:
    needs_house()
    hold(house_fuzz.run, tmp_path, "house", count=house_fuzz.COUNT if is_full() else 1000)
