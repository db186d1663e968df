"""What a row could not try is told, and never instead of what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from tests.support.oracle import Verdict
from tests.support.trials import hold
from tortures.trial import Trial, Unavailable


def _row(at: dict[int, Callable[[Trial], None]]) -> Callable[[Trial], None]:
    """Points that emit one record each; ``at``: what happens in which."""

    def run(trial: Trial) -> None:
        for number, _ in trial.points():
            at.get(number, lambda _: None)(trial)
            trial.add(number, Verdict(1, [], [], []))

    return run


def _unavailable(trial: Trial) -> None:
    raise Unavailable("needs a moon")


def _violated(trial: Trial) -> None:
    trial.violated(0, "a record was lost")


def _lacks(trial: Trial) -> None:
    trial.lacks("moon", "nothing by night")


@pytest.fixture(autouse=True)
def _nothing_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEHOUSE_REQUIRE", raising=False)


def test_a_row_that_cannot_begin_is_skipped_as_its_lane(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"\[sky\] needs a moon"):
        hold(_row({0: _unavailable}), tmp_path, "sky", count=3)


@pytest.mark.parametrize("found", [_violated, lambda trial: None])
def test_what_fails_after_a_point_is_a_fault_whatever_it_says_of_itself(
    tmp_path: Path, found: Callable[[Trial], None]
) -> None:
    with pytest.raises(AssertionError, match=r"needs a moon"):
        hold(_row({0: found, 1: _unavailable}), tmp_path, "sky", count=3)


def test_a_part_that_was_not_made_skips_by_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"\[moon\] NOT RUN: nothing by night: needs moon"):
        hold(_row({0: _lacks}), tmp_path, "sky", count=3)


def test_a_part_that_was_not_made_hides_no_violation(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a record was lost"):
        hold(_row({0: _lacks, 1: _violated}), tmp_path, "sky", count=3)


def test_a_part_that_was_not_made_fails_where_its_need_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEHOUSE_REQUIRE", "star")
    missing = _row({0: _lacks, 1: lambda trial: trial.lacks("star", "nothing far away")})
    with pytest.raises(pytest.fail.Exception, match=r"\[star\]"):
        hold(missing, tmp_path, "sky", count=3)
