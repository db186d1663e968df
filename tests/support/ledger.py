"""A job's own account of what it logged, kept outside the spool; ``tests.support.oracle`` reads it.

One JSON list a line, which begins with the id of the process: ``[pid, "+", *item]`` before the call, ``[pid, "=", *item]`` once it has
returned, ``[pid, "!", name…]`` once a flush of these sessions was True, ``[pid, "?", name…]`` once one was False, ``[pid, "<", name…]``
before these sessions are begun, or gone on with. An item's second member is the id of its run or trace.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MARK = "ended "  # begins the name of what each end of a session leaves: in a run's config, in a trace's metadata


class Ledger:
    """Several processes and threads may share a file: each line is one write."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @contextmanager
    def noted(self, *item: Any) -> Iterator[None]:
        """Note an item before and after the call that logs it; after one that raised, nothing."""
        self._write("+", item)
        yield
        self._write("=", item)

    def ended(self, end: Callable[[], bool], *items: Any) -> None:
        """Note the items that a session ends with, once its end says that all of it is there to stay; where it says not, no more."""
        for item in items:
            self._write("+", item)
        if end():
            for item in items:
                self._write("=", item)

    def opened(self, *names: str) -> None:
        """Note that these sessions are about to be begun: how they ended before tells no more how they end."""
        self._write("<", names)

    def flushed(self, done: bool, *names: str) -> None:
        """Note what a flush said of these sessions."""
        self._write("!" if done else "?", names)

    def _write(self, mark: str, item: tuple[Any, ...]) -> None:
        # writev: an error injected into the job's writes must not fall on its ledger
        os.writev(self._fd, [json.dumps([os.getpid(), mark, *item]).encode() + b"\n"])
