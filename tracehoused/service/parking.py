"""Sessions that wait for a server to answer, or to take a key: one of them asks again, the others have their turn when it was heard: some
at each answer, for each of those is heard as well, and where one answer was all there was the rest wait on untouched."""

from __future__ import annotations

from random import Random

from tracehoused.service.tracked import Schedule, Tracked
from tracehoused.upload.engine import Destination

__all__ = ["Parking"]

# seconds between two questions whether something was brought back
_ASK_EVERY = 1.0
# have their turn at one answer: no fewer than make passes at a time
_AT_ONCE = 64


class Parking:
    """By place: a server's address, or the hash of a destination there."""

    def __init__(self, schedule: Schedule, rng: Random) -> None:
        self._schedule = schedule
        self._rng = rng
        self._parked: dict[str, list[Tracked]] = {}
        self._stopped: set[Tracked] = set()

    def park(self, session: Tracked, place: str, retry_after: float | None, now: float) -> None:
        """Its pass ended with no answer there, or with the key refused. ``retry_after``: seconds, as the server told."""
        session.state = "parked"
        parked = self._still_parked(place)
        if not _asks(parked):
            self._schedule.at(session, now + session.wait(self._rng, retry_after))
        if session not in parked:
            parked.append(session)

    def stop(self, session: Tracked, now: float) -> None:
        """It was deleted at its server, which is asked now and then whether that was undone: of many for each the less often."""
        session.state = "stopped"
        self._stopped.add(session)
        wait = max(session.wait(self._rng, None), len(self._stopped) * _ASK_EVERY)
        self._schedule.at(session, now + wait)

    def keep_asking(self, now: float) -> None:
        """Who was to ask for all may have been removed, or have lost its key: another does."""
        self._stopped = {session for session in self._stopped if session.state == "stopped"}
        for place in list(self._parked):
            parked = self._still_parked(place)
            if not parked:
                del self._parked[place]
            elif not _asks(parked):
                self._schedule.at(parked[0], now + parked[0].wait(self._rng, None))

    def hear(self, destination: Destination, scope: str, now: float) -> None:
        """What a pass ended with there (``Outcome.scope``): where the server answered, or took the key, those that waited for that
        have their turn."""
        if scope != "destination":
            self._release(destination.api_base, now)
        if scope not in ("destination", "identity"):
            self._release(destination.hash, now)

    def _still_parked(self, place: str) -> list[Tracked]:
        found = [other for other in self._parked.get(place, ()) if other.state in ("parked", "retry")]
        self._parked[place] = found
        return found

    def _release(self, place: str, now: float) -> None:
        waiting = [session for session in self._parked.pop(place, ()) if session.state == "parked"]
        if len(waiting) > _AT_ONCE:
            self._parked[place] = waiting[_AT_ONCE:]
        for session in waiting[:_AT_ONCE]:
            session.state = "retry"
            session.backoff = None
            self._schedule.at(session, now)


def _asks(parked: list[Tracked]) -> bool:
    return any(other.due is not None or other.running or other.ready for other in parked)
