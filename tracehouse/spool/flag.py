"""What one thread sets and another waits for."""

from __future__ import annotations

import threading


class Flag:
    """``threading.Event`` will not do: an interrupt in the middle of its ``set()`` leaves its lock held for ever, and the next
    ``log()`` hangs. Here each step is one call into C, so there is no middle."""

    def __init__(self) -> None:
        self._down = threading.Lock()  # held until the flag is set
        self._down.acquire()

    def set(self) -> None:
        try:
            self._down.release()
        except RuntimeError:
            pass  # it is set

    @property
    def is_set(self) -> bool:
        return not self._down.locked()

    def take(self, seconds: float) -> bool:
        """Wait so long at the most until it is set; it is not any more. Whether it was."""
        return self._down.acquire(timeout=max(0.0, seconds))
