"""Intervals are a set of whole numbers, however it was put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracehoused.upload.intervals import Intervals

RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair))), max_size=25)


def members(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(RANGES)
def test_it_holds_what_was_added_and_nothing_else(ranges: list[tuple[int, int]]) -> None:
    found, model = Intervals(ranges), members(ranges)
    assert {number for number in range(80) if number in found} == model
    assert len(found) == len(model)
    assert found.last == max(model, default=0)


@given(RANGES)
def test_its_ranges_ascend_and_never_touch(ranges: list[tuple[int, int]]) -> None:
    pairs = Intervals(ranges).to_list()
    assert all(first <= last for first, last in pairs)
    assert all(before[1] + 1 < after[0] for before, after in zip(pairs, pairs[1:]))
    assert Intervals(pairs).to_list() == pairs


@given(RANGES, st.integers(1, 70), st.integers(0, 12))
def test_covers_means_all_and_meets_means_any(ranges: list[tuple[int, int]], first: int, more: int) -> None:
    found, model, asked = Intervals(ranges), members(ranges), set(range(first, first + more + 1))
    assert found.covers(first, first + more) == (asked <= model)
    assert found.meets(first, first + more) == bool(asked & model)


@given(RANGES, st.randoms(use_true_random=False))
def test_the_order_of_adding_makes_no_difference(ranges: list[tuple[int, int]], chance: object) -> None:
    shuffled = list(ranges)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Intervals(shuffled) == Intervals(ranges)


@pytest.mark.parametrize("wrong", [(0, 1), (3, 2), (-1, -1)])
def test_what_is_no_range_is_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a range"):
        Intervals([wrong])
