"""Times: the published form, right whatever the clock does; durations are monotonic (A15)."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from threading import Thread
from time import monotonic_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracehouse import clock

FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def parse(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def test_now_is_now_in_utc() -> None:
    before = datetime.now(timezone.utc)
    text = clock.now()
    after = datetime.now(timezone.utc)
    assert FORM.fullmatch(text)
    # the clock is read with more digits than are written
    assert before - timedelta(microseconds=1) <= parse(text) <= after


@given(st.lists(st.integers(0, 4_102_444_800_000_000_000), min_size=1, max_size=8))
def test_now_follows_a_clock_that_is_set_back_and_forth(times: list[int]) -> None:
    clock_of_test = iter(times)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time_ns", lambda: next(clock_of_test))
        told = [clock.now() for _ in times]
    assert [parse(text) for text in told] == [EPOCH + timedelta(microseconds=ns // 1000) for ns in times]
    assert told == [clock.iso(ns) for ns in times]


@pytest.mark.parametrize(
    "ns,text",
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (2**31 * 10**9 + 1_000, "2038-01-19T03:14:08.000001Z"),
        (951_782_400_999_999_999, "2000-02-29T00:00:00.999999Z"),
    ],
)
def test_iso_at_the_edges(ns: int, text: str) -> None:
    assert clock.iso(ns) == text


def test_threads_never_mix_one_second_with_another() -> None:
    wrong: list[str] = []

    def watch() -> None:
        last = clock.now()
        for _ in range(20_000):
            text = clock.now()
            if text < last:
                wrong.append(f"{last} then {text}")
            last = text

    with pytest.MonkeyPatch.context() as patch:
        # a clock that never goes back, and whose seconds are a millisecond long
        patch.setattr(clock, "time_ns", lambda: monotonic_ns() * 1000)
        threads = [Thread(target=watch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a15_an_end_never_lies_before_its_start() -> None:
    with pytest.MonkeyPatch.context() as patch:
        watch = clock.Stopwatch()
        patch.setattr(clock, "time_ns", lambda: 0)
        assert watch.end_at() >= watch.start_at
        assert parse(watch.end_at()) - parse(watch.start_at) < timedelta(hours=1)
    assert watch.elapsed() >= 0


def test_a15_a_duration_is_what_the_monotonic_clock_says() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "monotonic_ns", lambda: 5)
        patch.setattr(clock, "time_ns", lambda: 1_000_000_000)
        watch = clock.Stopwatch()
        patch.setattr(clock, "monotonic_ns", lambda: 2_500_000_005)
        assert (watch.start_at, watch.end_at()) == ("1970-01-01T00:00:01.000000Z", "1970-01-01T00:00:03.500000Z")
        assert watch.elapsed() == 2.5


def test_e1_what_every_record_needs_imports_next_to_nothing() -> None:
    # hypothesis and pytest have loaded all of it here, so another process tells
    program = (
        "import sys; before = set(sys.modules); import tracehouse.clock, tracehouse.ids, tracehouse.values;"
        "heavy = {'dataclasses', 'typing', 'logging', 'hashlib', 'uuid', 'datetime', 'inspect'};"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
