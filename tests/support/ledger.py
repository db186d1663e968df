"""A job's own account of what it logged, kept outside the spool; ``tests.support.oracle`` reads it.

One JSON list a line, which begins with the id of the process: ``[pid, "+", *item]`` before the call, ``[pid, "=", *item]`` once it has
returned, ``[pid, "!", name…]`` once a flush of these sessions was True, ``[pid, "?", name…]`` once one was False. An item's second
member is the id of its run or trace.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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

    def flushed(self, done: bool, *names: str) -> None:
        """Note what a flush said of these sessions."""
        self._write("!" if done else "?", names)

    def _write(self, mark: str, item: tuple[Any, ...]) -> None:
        # writev: an error injected into the job's writes must not fall on its ledger
        os.writev(self._fd, [json.dumps([os.getpid(), mark, *item]).encode() + b"\n"])
