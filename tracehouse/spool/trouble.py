"""What is wrong with a spool: noted where it is met, told where nothing is held.

A handler of ``logging`` has a lock of its own, and may record what it is given. Who told it of a failure while he had a session's lock
waited for the thread that was in the handler and waited for him.
"""

from __future__ import annotations

import time

from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tracehouse.spool.losses import Losses

TELL_SECONDS = 60.0


class Trouble:
    """Of one spool, of which ``memory`` bytes may wait."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._noted: tuple[str, OSError, Losses] | None = None
        self._told_at = -TELL_SECONDS

    def note(self, directory: str, error: OSError, losses: Losses) -> None:
        """To be told soon."""
        self._noted = (directory, error, losses)

    def tell(self) -> None:
        """Once a minute: what is wrong with the spool, and what it has cost. Not for a thread that has a session's lock."""
        noted, self._noted = self._noted, None
        now = time.monotonic()
        if noted is None or now - self._told_at < TELL_SECONDS:
            return
        # before it is told: a handler of the logger may log here
        before, self._told_at = self._told_at, now
        directory, error, losses = noted
        is_told = say(
            "warning",
            "cannot write to the spool %s: %s. Records wait in memory (up to %d MiB), then are dropped and counted (%d so far). "
            "Free space, or check quota and permissions; nothing already written is affected.",
            directory,
            error,
            self._memory >> 20,
            losses.records,
        )
        if not is_told:
            self._told_at = before
