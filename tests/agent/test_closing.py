"""A13: how a session ended, from how its writers ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracehoused.upload.closing import End, final
from tracehoused.upload.endings import end_of
from tracehoused.upload.reader import Epoch

A, B, C = "a" * 16, "b" * 16, "c" * 16


def end(epoch: str, attempt: int = 1, claim: int = 1, **more: object) -> End:
    return End(epoch, attempt, claim, **more)  # type: ignore[arg-type]


TABLE = {
    "nobody": ([], None),
    "one lives": ([end(A)], None),
    "said nothing of it": ([end(A, done=True)], None),
    "finished": ([end(A, status="finished", done=True, at="1")], "finished"),
    "died": ([end(A, dead=True)], "crashed"),
    "finished by exit, another died": (
        [end(A, status="finished", done=True), end(B, claim=2, dead=True)],
        "crashed",
    ),
    "no run closes while any of its writers lives": ([end(A, status="finished", done=True), end(B, claim=2)], None),
    "crashed > failed": (
        [end(A, status="failed", done=True), end(B, claim=2, status="crashed", done=True)],
        "crashed",
    ),
    "failed > killed": ([end(A, status="failed", done=True), end(B, claim=2, status="killed", done=True)], "failed"),
    "killed > finished": (
        [end(A, status="finished", done=True), end(B, claim=2, status="killed", done=True)],
        "killed",
    ),
    "the creator's explicit word wins over a crash": (
        [end(A, status="finished", explicit=True, done=True), end(B, claim=2, dead=True)],
        "finished",
    ),
    "another's explicit word, the creator says nothing": (
        [end(A, done=True), end(B, claim=2, status="killed", explicit=True, done=True)],
        "killed",
    ),
    "of several explicit words without the creator's the last": (
        [
            end(A, done=True),
            end(B, claim=2, status="failed", explicit=True, done=True),
            end(C, claim=3, status="finished", explicit=True, done=True),
        ],
        "finished",
    ),
    "the last attempt counts": (
        [end(A, dead=True), end(B, attempt=2, claim=2, status="finished", done=True)],
        "finished",
    ),
    "a new attempt that lives": ([end(A, status="finished", done=True), end(B, attempt=2, claim=2)], None),
    "an earlier attempt's writer of whom nobody knows does not keep it open": (
        [end(A), end(B, attempt=2, claim=2, status="finished", done=True)],
        "finished",
    ),
    "a word of a later version": ([end(A, status="perhaps", done=True)], "perhaps"),
    "a word of a later version hides none that is known": (
        [end(A, status="perhaps", done=True), end(B, claim=2, status="finished", done=True)],
        "finished",
    ),
    "explicitly still running": ([end(A, status="running", explicit=True, done=True)], "running"),
}


@pytest.mark.parametrize("case", TABLE)
def test_a13_the_end_of_a_session(case: str) -> None:
    ends, status = TABLE[case]
    found = final(ends)
    assert (found.status if found else None) == status


ENDS = st.lists(
    st.builds(
        End,
        st.sampled_from([A, B, C]),
        st.integers(1, 3),
        st.integers(1, 3),
        st.sampled_from([None, "finished", "killed", "failed", "crashed"]),
        explicit=st.booleans(),
        done=st.booleans(),
        dead=st.booleans(),
        at=st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
    ),
    max_size=6,
    unique_by=lambda one: (one.attempt, one.claim, one.epoch),
)


@given(ENDS, st.randoms(use_true_random=False))
def test_a13_the_order_in_which_writers_are_found_makes_no_difference(ends: list[End], chance: object) -> None:
    shuffled = list(ends)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert final(shuffled) == final(ends)


@given(ENDS)
def test_a13_nothing_ends_while_a_writer_of_the_last_attempt_lives(ends: list[End]) -> None:
    last = max((one.attempt for one in ends), default=0)
    if any(not one.over for one in ends if one.attempt == last):
        assert final(ends) is None


def test_a13_a_writer_that_was_seen_beside_a_later_attempt_and_turns_out_dead_is_none_of_that_attempt_s() -> None:
    """A job that was killed and begun again within the time that its last heartbeat counts for, seen from another machine."""
    first, later = (Epoch(name, {0: 1}, {"attempt": n, "claim": n}) for n, name in enumerate((A, B), 1))
    finished = end_of(later, {"status": "finished", "done": True}, dead=False)
    lives, died = (end_of(first, {"joined": 2}, dead=dead) for dead in (False, True))
    assert final([lives, finished]) is None
    told = final([died, finished])
    assert told is not None
    assert told.status == "finished"
