"""Whether a session grew that was found settled: by records that came after its job's last word, into a segment that was open still.

The directory's time tells of them, except where the job was killed just before it could, or has an emitter that did not know. So while a
writer may be at it, and some minutes longer, its last segments are measured at each rescan, which takes as long as to ask for that time.
"""

from __future__ import annotations

import os
import time

from tracehouse.spool import layout, liveness

__all__ = ["LINGERS", "Ends", "Writing", "ends_of", "have_grown"]

# (name, bytes) of each writer's last segment
Ends = tuple[tuple[str, int], ...]
# seconds that a process may go on for whose lock is gone: in its exit handlers
LINGERS = 600.0
_DAY = 86400.0


def ends_of(session: str) -> Ends:
    """Where the records of its writers end; none where it cannot be read, which a pass tells of."""
    last: dict[str, tuple[int, str, int]] = {}
    try:
        with os.scandir(session) as entries:
            for entry in entries:
                segment = layout.parse_segment_name(entry.name)
                if segment is not None and segment.n >= last.get(segment.epoch, (0,))[0]:
                    last[segment.epoch] = segment.n, entry.name, entry.stat(follow_symlinks=False).st_size
    except OSError:
        return ()
    return tuple((name, size) for _, name, size in last.values())


def have_grown(session: str, ends: Ends) -> bool:
    """Whether one of them has another size now; what was removed changed its directory."""
    for name, size in ends:
        try:
            if os.lstat(os.path.join(session, name)).st_size != size:
                return True
        except OSError:
            continue
    return False


class Writing:
    """Which writers of a spool may write on, as of one look through it: each is asked after once."""

    def __init__(self, spool: str) -> None:
        self._writers = os.path.join(spool, layout.WRITERS)
        self._known: dict[str, bool] = {}

    def any_of(self, ends: Ends) -> bool:
        return any(self._may_write(segment.epoch) for name, _ in ends if (segment := layout.parse_segment_name(name)))

    def _may_write(self, epoch: str) -> bool:
        known = self._known.get(epoch)
        if known is None:
            known = self._known[epoch] = self._ask(epoch)
        return known

    def _ask(self, epoch: str) -> bool:
        lock = liveness.read_lock(self._writers, epoch)
        if lock is None or not lock["genuine"]:
            return False
        lives = liveness.lives_here(lock)
        return time.time() - float(lock["heartbeat"]) < _DAY if lives is None else lives
