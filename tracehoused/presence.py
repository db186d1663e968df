"""Whether a session's writers live, from what this machine can prove, and else from how old their heartbeat is."""

from __future__ import annotations

import os
import threading
from typing import Callable

from tracehouse.spool import layout, liveness
from tracehoused.reader import Epoch

__all__ = ["of_writers"]


def of_writers(session: str, *, dead_after: float, close_dead: bool) -> Callable[[Epoch], bool | None]:
    """For a session's writers: True it lives, False it is proven dead, None nobody can say.

    ``dead_after``: seconds without a heartbeat that prove it for a writer elsewhere; ``close_dead``: take who cannot be asked for dead.
    """
    writers = os.path.join(os.path.dirname(session), layout.WRITERS)

    def lives(epoch: Epoch) -> bool | None:
        lock = liveness.read_lock(writers, epoch.id)
        proven = liveness.lives_here(lock) if lock else None
        if proven is None and close_dead:
            return False
        if proven is None and lock and lock["genuine"]:
            return False if _server_age(writers, lock["heartbeat"]) > dead_after else None
        return proven

    return lives


def _server_age(directory: str, mtime: float) -> float:
    """Seconds since a file was touched, by the clock of the server that holds it."""
    probe = os.path.join(directory, f".clock-{os.getpid()}-{threading.get_ident()}")
    try:
        with open(probe, "wb"):
            pass
        age = os.stat(probe).st_mtime - mtime
        os.unlink(probe)
    except OSError:
        return 0.0  # nothing can be proven here
    return age
