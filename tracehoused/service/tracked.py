"""A session that the agent has something to do with, and the order in which sessions get their turn. Pure."""

from __future__ import annotations

import heapq
from random import Random

from tracehoused.http.retry import Backoff

__all__ = ["Schedule", "Tracked"]


# where something is awaited: passes take a twentieth of a core
_PAUSE = 20.0


class Tracked:
    """Times are monotonic. ``due``: of its next turn, None when only a hint makes one. ``mark``: what its segments were before its last
    pass, as (bytes, newest change). ``grew``: when they last were seen to. ``home``: its server, and the machine that wrote it.
    ``left``: records to be sent. ``awaits``: when to look again for what may come without a hint, None for nothing; ``rests``: no pass
    before that. ``state``: new, waiting, live, retry, parked, stopped, gone (tracked no more)."""

    __slots__ = (
        "again",
        "api_base",
        "awaits",
        "backoff",
        "dead",
        "dropped",
        "due",
        "epochs",
        "grew",
        "home",
        "hot",
        "left",
        "mark",
        "path",
        "pending_since",
        "ready",
        "rests",
        "running",
        "size",
        "stalled",
        "state",
        "trouble",
        "watched",
    )

    def __init__(self, path: str, now: float) -> None:
        self.path = path
        self.due: float | None = None
        self.hot = False
        self.size = 0
        self.ready = False
        self.running = False
        self.again = False
        self.backoff: Backoff | None = None
        self.state = "new"
        self.watched = False
        self.mark = (-1, 0)
        self.grew = now
        self.epochs: tuple[str, ...] = ()
        self.trouble = ""
        self.api_base = ""
        self.home = ("", "")
        self.left = 0
        self.awaits: float | None = None
        self.rests = 0.0
        self.dead = 0
        self.dropped = 0
        self.stalled = False
        self.pending_since: float | None = now

    def wait(self, rng: Random, retry_after: float | None) -> float:
        """Seconds until another try, after one that failed."""
        if self.backoff is None:
            self.backoff = Backoff(rng)
        return self.backoff.next(retry_after)

    def await_more(self, now: float, took: float, rng: Random) -> None:
        """Live, with all else sent: a pass that took ``took`` seconds, and read that again, is repeated with a pause in proportion."""
        self.state = "live"
        self.awaits, self.rests = now + self.wait(rng, None), now + _PAUSE * took

    def next_look(self, poll: float | None) -> float | None:
        """When a live one has its turn without a hint; ``poll``: when it is to be looked at for records."""
        times = [at for at in (poll, self.awaits) if at is not None]
        return max(self.rests, min(times)) if times else None


class Schedule:
    """Turns: live sessions before backlog, small before large, and never all ``jobs`` for the backlog."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._timed: list[tuple[float, int, Tracked]] = []
        self._ready: tuple[list[tuple[int, int, Tracked]], list[tuple[int, int, Tracked]]] = ([], [])
        self._count = 0
        self._running = [0, 0]

    def at(self, session: Tracked, due: float | None) -> None:
        """Its next turn is at ``due``, whatever was said before."""
        session.due = due
        if due is not None:
            self._count += 1
            heapq.heappush(self._timed, (due, self._count, session))

    def next_due(self) -> float | None:
        """When the next turn is due that has not come; None when only hints make one."""
        timed = self._timed
        while timed and timed[0][2].due != timed[0][0]:
            heapq.heappop(timed)
        return timed[0][0] if timed else None

    def due(self, now: float) -> list[Tracked]:
        """Sessions whose time has come; it is taken from them."""
        found = []
        while (first := self.next_due()) is not None and first <= now:
            session = heapq.heappop(self._timed)[2]
            session.due = None
            found.append(session)
        return found

    def want(self, session: Tracked, *, hot: bool) -> None:
        """It is to have a pass; one that wants it as backlog may want it hot as well."""
        if session.running or (session.ready and (session.hot or not hot)):
            return
        session.ready, session.hot = True, hot
        self._count += 1
        heapq.heappush(self._ready[0 if hot else 1], (0 if hot else session.size, self._count, session))

    def take(self) -> Tracked | None:
        """The next to begin its pass, if there is a place for it."""
        for kind, line in enumerate(self._ready):
            while line and not line[0][2].ready:
                heapq.heappop(line)
            free = self._jobs - sum(self._running)
            if line and free > 0 and (kind == 0 or self._running[1] < max(1, self._jobs - 1)):
                session = heapq.heappop(line)[2]
                session.ready, session.running, session.hot = False, True, kind == 0
                self._running[kind] += 1
                return session
        return None

    def over(self, session: Tracked) -> None:
        """Its pass ended."""
        self._running[0 if session.hot else 1] -= 1
        session.running = False

    @property
    def idle(self) -> bool:
        """No pass is under way or wanted."""
        return not any(self._running) and not self.wanted

    @property
    def has_hot_waiting(self) -> bool:
        """Some live session has no place, as any thread may ask."""
        return any(session.ready for _, _, session in self._ready[0])

    @property
    def wanted(self) -> int:
        return sum(entry[2].ready for line in self._ready for entry in line)
