"""Waiting for what another thread or process does: on the condition itself, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


def wait_until(predicate: Callable[[], T], timeout: float = 60.0, what: str | Callable[[], str] = "") -> T:
    """Call `predicate` until it returns something true, and return that.

    `timeout` is in seconds and only bounds a failure: it is generous, and no test may be slower for it.
    `what` names the condition, or tells the state it was left in. Raises AssertionError at the deadline;
    what `predicate` raises is not caught.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            told = (what() if callable(what) else what) or repr(predicate)
            raise AssertionError(f"not within {timeout:g} s: {told} (last: {value!r})")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
