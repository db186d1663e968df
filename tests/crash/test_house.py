"""The house under kills, repeats and malformed requests."""

from __future__ import annotations

from pathlib import Path

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import house_fuzz, house_kills, house_repeats


def test_a_house_killed_under_load_has_what_it_acknowledged(tmp_path: Path) -> None:
    needs_house()
    hold(house_kills.run, tmp_path, "house", count=5)


def test_a1_a_request_that_comes_a_hundred_times_has_one_effect(tmp_path: Path) -> None:
    needs_house()
    hold(lambda trial: house_repeats.run(trial, times=100), tmp_path, "house", count=house_repeats.COUNT)


def test_no_malformed_request_makes_the_house_fail_or_changes_anything(tmp_path: Path) -> None:
    needs_house()
    hold(house_fuzz.run, tmp_path, "house", count=1000)
