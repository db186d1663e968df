"""Which sessions have a watch, that is, hints for each of their records; the others are looked at by the clock.

Where there are few sessions, all have one. Where there are many, those that grew lately have one, and of the others no more than
keeps all watches to ``_MOST_AT_REST``: a job that records is told of at once, and thousands that record nothing take nobody's watches.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping

from tracehoused.service.tracked import Tracked
from tracehoused.service.watcher import MOST_WATCHES, Watcher

__all__ = ["LATELY", "Watches"]

LATELY = 60.0
_FEW = 256
_MOST_AT_REST = 64


class Watches:
    """``sessions``: all that are tracked. Times are monotonic."""

    def __init__(self, watcher: Watcher, sessions: Mapping[str, Tracked]) -> None:
        self._watcher = watcher
        self._sessions = sessions
        self._watched: OrderedDict[str, Tracked] = OrderedDict()

    def give(self, session: Tracked, now: float) -> Tracked | None:
        """Let it have a watch; one that did not grow for longer may have given up its own for it, and is returned."""
        if session.watched:
            if self._watcher.watch(session.path):
                self.renew(session)
                return None
            self.take(session)
        loser = None
        wanted = now - session.grew < LATELY or self._watcher.watches < self._most_at_rest
        if not (wanted and self._watcher.watch(session.path)):
            loser = self._loser(session)
            if loser is None:
                return None
            self.take(loser)
            if not self._watcher.watch(session.path):
                return loser
        session.watched = True
        self._watched[session.path] = session
        return loser

    def _loser(self, session: Tracked) -> Tracked | None:
        if os.path.dirname(session.path) in self._watcher.polled or not self._watched:
            return None
        oldest = next(iter(self._watched.values()))
        return None if oldest.running or oldest.grew >= session.grew else oldest

    def renew(self, session: Tracked) -> None:
        """It is the last to lose the watch that it has."""
        self._watched.move_to_end(session.path)

    def take(self, session: Tracked) -> None:
        if session.watched:
            session.watched = False
            self._watched.pop(session.path, None)
            self._watcher.unwatch(session.path)

    @property
    def _most_at_rest(self) -> int:
        return MOST_WATCHES if len(self._sessions) <= _FEW else _MOST_AT_REST

    @property
    def next_rest(self) -> float | None:
        """When ``at_rest`` has something to do; None while there are not too many watches."""
        if self._watcher.watches <= self._most_at_rest or not self._watched:
            return None
        oldest = next(iter(self._watched.values()))
        return None if oldest.running else oldest.grew + LATELY

    def at_rest(self, now: float) -> Iterator[Tracked]:
        """Those that lose their watch now, for they did not grow lately and there are many."""
        while (at := self.next_rest) is not None and at <= now:
            session = next(iter(self._watched.values()))
            self.take(session)
            yield session
