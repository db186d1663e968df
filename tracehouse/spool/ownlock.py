"""This process's lock file in a spool: for as long as it is there, and held, what the process records there may grow."""

from __future__ import annotations

import os

from tracehouse.spool import durable, layout, liveness


class OwnLock:
    """Of one writer; for one thread at a time. OSError when the disk does not let it."""

    def __init__(self, writers_dir: str, epoch: str) -> None:
        self._directory = writers_dir
        self._epoch = epoch
        self._path = os.path.join(writers_dir, layout.lock_name(epoch))
        self._fd = -1

    @property
    def is_held(self) -> bool:
        """Taken, and neither removed nor moved by someone since: without one a living process passes for dead."""
        return self._fd >= 0 and durable.is_named(self._fd, self._path)

    def take(self, at: str) -> None:
        former, self._fd = self._fd, liveness.create_lock(self._directory, self._epoch, at)
        if former >= 0:
            os.close(former)

    def beat(self, at: str) -> None:
        """Still here, where it was taken."""
        if self._fd >= 0:
            if not self.is_held:
                self.take(at)
            os.utime(self._fd)

    def leave(self) -> None:
        """In a forked child: the parent keeps it."""
        if self._fd >= 0:
            os.close(self._fd)

    def remove(self) -> None:
        if self._fd >= 0:
            try:
                os.unlink(self._path)
            except OSError:
                pass  # the agent removes locks of the dead
            os.close(self._fd)
            self._fd = -1
