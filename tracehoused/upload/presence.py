"""Whether a session's writers live, from what this machine can prove, and else from how old their heartbeat is."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any, Callable

from tracehouse.spool import layout, liveness
from tracehoused.upload.reader import Epoch

__all__ = ["heard_of", "of_writers", "state"]


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


def heard_of(session: str) -> Callable[[Epoch], bool]:
    """For a session's writers: whether one is known to live, or had a heartbeat lately."""
    writers = os.path.join(os.path.dirname(session), layout.WRITERS)

    def heard(epoch: Epoch) -> bool:
        lock = liveness.read_lock(writers, epoch.id)
        if lock is None or not lock["genuine"]:
            return False
        proven = liveness.lives_here(lock)
        return _is_fresh(writers, lock) if proven is None else proven

    return heard


def _is_fresh(writers: str, lock: dict[str, Any]) -> bool:
    return _server_age(writers, lock["heartbeat"]) <= 3 * liveness.HEARTBEAT_SECONDS


def state(session: str, epochs: Sequence[tuple[Epoch, bool | None]], *, stall_after: float) -> str | None:
    """What a session's job is that has not ended, from who lives of its writers: ``running``; ``stalled``, it lives but has recorded
    nothing for ``stall_after`` seconds; ``unreachable``, on another machine and not heard of for three heartbeats. None when no
    writer is known to live or to have lived lately: it has ended, or nobody can say."""
    writers = os.path.join(os.path.dirname(session), layout.WRITERS)
    far = [epoch for epoch, lives in epochs if lives is None]
    locks = [lock for epoch in far if (lock := liveness.read_lock(writers, epoch.id)) is not None and lock["genuine"]]
    heard = any(_is_fresh(writers, lock) for lock in locks)
    if heard or any(lives for _, lives in epochs):
        return "stalled" if _silence(session, writers) > stall_after else "running"
    return "unreachable" if locks else None


def _silence(session: str, writers: str) -> float:
    """Seconds since a segment last grew, by the file server's clock."""
    names = [name for name in os.listdir(session) if layout.parse_segment_name(name)]
    newest = max((os.stat(os.path.join(session, name)).st_mtime for name in names), default=0.0)
    return _server_age(writers, newest)


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
