"""Records that are not written yet: kept in memory until the disk takes them; what has to be given up is counted."""

from __future__ import annotations

import errno
import time
from collections import deque

from tracehouse.spool.losses import Losses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from tracehouse.spool.writer import Writer

RETRY_SECONDS = 0.5


class Waiting:
    """Of one session, in the order they came, as (seq, kind, data)."""

    def __init__(self, writer: Writer, directory: str) -> None:
        self._writer = writer
        self._directory = directory
        self.records: deque[tuple[int, str, str]] = deque()
        self._left: deque[tuple[int, str, str]] = deque()
        self.losses = Losses()
        self.failure = ""  # of the last try
        self._has_lost = False
        self._retry_at = 0.0

    def keep(self, seq: int, kind: str, data: str) -> None:
        """Until it is ``done``; what memory has no room for is lost."""
        size = _size(data)
        if self._writer.take_memory(size):
            self.records.append((seq, kind, data))
        else:
            self.lose(size)

    def leave(self, seq: int, kind: str, data: str) -> None:
        """For the call that is at work here to keep. ``seq``: 0 where it has none yet."""
        self._left.append((seq, kind, data))

    @property
    def has_left(self) -> bool:
        return bool(self._left)

    def __bool__(self) -> bool:
        return bool(self.records or self._left or self.losses.records)

    def keep_left(self, next_seq: Callable[[], int]) -> None:
        while self._left:
            seq, kind, data = self._left[0]
            if not seq:
                seq = next_seq()
                self._left[0] = (seq, kind, data)  # an interrupt has it kept again, under the same number
            self.keep(seq, kind, data)
            self._left.popleft()

    def renumber(self, before: int) -> None:
        """So many records came before the first."""
        self.records = deque((seq + before, kind, data) for seq, kind, data in self.records)

    def done(self) -> None:
        """The first of them is written."""
        self._writer.give_memory(_size(self.records.popleft()[2]))

    def lose(self, size: int, records: int = 1) -> None:
        self.losses.add(self.failure or "unwritable", size, self._writer.now(), records)
        self._has_lost = True

    def interrupted(self, size: int) -> None:
        """A record of which nobody knows whether it is written."""
        self.losses.add("interrupted", size, self._writer.now())

    def has_lost(self) -> bool:
        """Whether anything was, since the last time this was asked."""
        lost, self._has_lost = self._has_lost, False
        return lost

    def give_up(self) -> int:
        """All of them, at the process's end. How many records are lost."""
        freed = self.losses.take(self.records, self.failure or "unwritable", self._writer.now())
        self._writer.give_memory(freed)
        return self.losses.records

    def failed(self, error: OSError) -> None:
        self.failure = errno.errorcode.get(error.errno or 0, "EIO")
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._writer.trouble.note(self._directory, error, self.losses)

    def are_due(self, now: bool) -> bool:
        """There are some, and the disk is to be tried: ``now``, or some time after it failed."""
        some = bool(self.records or self.losses.records)
        return some and (now or not self.failure or time.monotonic() >= self._retry_at)


def _size(data: str) -> int:
    return len(data) + 64
