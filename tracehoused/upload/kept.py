"""Checkpoints of live sessions between passes, and when the copies of what they acknowledge were last brought up to date."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from tracehoused.upload.checkpoint import Checkpoint

__all__ = ["Kept"]

_MOST = 256
_COLD_AFTER = 120.0


class Kept:
    """At most ``most`` checkpoints, each for ``cold_after`` seconds after its last pass. ``copy_every``: seconds between two copies of
    a live session's. Safe to use from several threads, one session a thread."""

    def __init__(self, copy_every: float, *, most: int = _MOST, cold_after: float = _COLD_AFTER) -> None:
        self._copy_every = copy_every
        self._most = most
        self._cold_after = cold_after
        self._lock = threading.Lock()
        # both with the oldest first
        self._checkpoints: OrderedDict[tuple[str, str], tuple[float, Checkpoint]] = OrderedDict()
        self._copied_at: OrderedDict[str, float] = OrderedDict()

    def take(self, session: str, destination: str) -> Checkpoint | None:
        """The one kept of the last pass, unless somebody else wrote to its journal since."""
        with self._lock:
            _, found = self._checkpoints.pop((session, destination), (0.0, None))
        return found if found is not None and found.is_current() else None

    def keep(self, session: str, destination: str, checkpoint: Checkpoint) -> None:
        now = time.monotonic()
        with self._lock:
            self._drop_cold(now)
            if len(self._checkpoints) < self._most:
                self._checkpoints[session, destination] = now, checkpoint

    def bring_up(self, checkpoint: Checkpoint, *, live: bool) -> None:
        """Have its copy follow, where it lags: a live session's need not follow each of its records."""
        if not checkpoint.copy_lags():
            return
        now = time.monotonic()
        with self._lock:
            while self._copied_at and now - next(iter(self._copied_at.values())) >= self._copy_every:
                self._copied_at.popitem(last=False)
            if live and checkpoint.directory in self._copied_at:
                return
        checkpoint.save_copy()
        with self._lock:
            self._copied_at[checkpoint.directory] = now
            self._copied_at.move_to_end(checkpoint.directory)

    def close(self) -> None:
        """Bring all copies up to date: a session that is quiet has no next pass."""
        with self._lock:
            while self._checkpoints:
                self._drop_oldest()

    def _drop_cold(self, now: float) -> None:
        """One at a time: none of those that follow waits for long."""
        if self._checkpoints and now - next(iter(self._checkpoints.values()))[0] >= self._cold_after:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, (_, checkpoint) = self._checkpoints.popitem(last=False)
        try:
            # not of a session that is gone, nor where another agent goes on with it
            if checkpoint.is_current() and checkpoint.copy_lags():
                checkpoint.save_copy()
        except OSError:
            pass  # a full disk: its journal has it all, and the next pass that finds its copy behind makes it
