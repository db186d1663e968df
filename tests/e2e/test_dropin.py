"""The published SDK's users change nothing: the same scripts leave the same in the house, but for a table of what is meant to differ."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import published
from tests.e2e.intended import INTENDED
from tests.e2e.side_by_side import Case, Sides, differences, outcome
from tests.support import lanes
from tests.support.house import House

CASES = [
    *map(Case, ("quickstart", "classes", "resume", "helpers", "training", "media", "arrays", "rollouts", "links")),
    *map(Case, ("statuses", "errors", "environment", "wandb_basics")),
    *(
        Case("exits", how)
        for how in (
            "clean",
            "exit-0",
            "exit-3",
            "exception",
            "interrupt",
            "with-exit-0",
            "trace-with-exit-0",
            "flushed-os-exit",
            "no-auto-finish",
            "forked",
        )
    ),
    *(
        Case("weaknesses", which)
        for which in (
            "nan",
            "unserialisable",
            "numpy",
            "bad-image",
            "same-step",
            "same-name",
            "unreferenced",
            "hostname",
            "failed-init",
            "media-format",
            "too-large",
            "list-of-images",
            "disable-autofinish-0",
            "surrogate",
            "span-status",
            "server-down",
            "system-samples",
        )
    ),
]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sides, Sides]]:
    """The published SDK with its house, and ours with another: of the same owner, each for all scripts."""
    lanes.needs_house()
    theirs = published.python()
    folder = tmp_path_factory.mktemp("houses")
    with House(folder / "published") as first, House(folder / "ours") as second:
        yield Sides(theirs, first, False), Sides(Path(sys.executable), second, True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dropin_the_same_script_leaves_the_same_state_but_for_what_is_intended(
    sides: tuple[Sides, Sides], case: Case, tmp_path: Path
) -> None:
    theirs, ours = (outcome(side, case, tmp_path / name) for side, name in zip(sides, ("published", "ours")))
    intended = {row.path: (row.published, row.ours) for row in INTENDED.get(case.name, [])}
    assert differences(theirs, ours) == intended


def test_dropin_every_intended_difference_is_of_a_script_that_runs() -> None:
    assert set(INTENDED) <= {case.name for case in CASES}
    assert all(row.why for rows in INTENDED.values() for row in rows)
