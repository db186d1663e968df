"""The tests' own tools: waiting ends, skips have names, required lanes fail."""

from __future__ import annotations

import threading

import pytest

from tests.support import lanes
from tests.support.waiting import wait_until


def test_wait_until_returns_the_first_true_value() -> None:
    values: list[str] = []
    thread = threading.Thread(target=values.append, args=("here",))
    thread.start()
    assert wait_until(lambda: values, what="the thread's value") == ["here"]
    thread.join()


def test_wait_until_fails_by_name_at_its_deadline() -> None:
    with pytest.raises(AssertionError, match=r"not within 0 s: the moon \(last: 0\)"):
        wait_until(lambda: 0, timeout=0, what=lambda: "the moon")


def test_a_missing_lane_skips_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEHOUSE_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"\[no-such-tool\] needs no-such-tool"):
        lanes.needs_tool("no-such-tool")


@pytest.mark.parametrize("names", ["no-such-tool", "root, no-such-tool", "all"])
def test_a_missing_lane_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("TRACEHOUSE_REQUIRE", names)
    with pytest.raises(pytest.fail.Exception, match="TRACEHOUSE_REQUIRE asks for it"):
        lanes.needs_tool("no-such-tool")
