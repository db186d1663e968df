"""Words for the user, on the ``tracehouse`` logger, which is loaded when there are some."""

from __future__ import annotations

import os
import threading

# held while that is loaded, and while the process forks: a module that another thread is loading then stays locked in the child for good
_loading = threading.RLock()


def say(level: str, text: str, *args: object, exc_info: bool = False) -> bool:
    """``level``: debug, info, warning or error. False where no file can be opened now, not even the logging module's."""
    try:
        with _loading:
            import logging
    except (ImportError, OSError):
        return False
    getattr(logging.getLogger("tracehouse"), level)(text, *args, exc_info=exc_info, stacklevel=2)
    return True


def _acquire() -> None:
    _loading.acquire()


def _release() -> None:
    _loading.release()


def _renew() -> None:
    global _loading
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_renew)
