"""The agent: keeps sessions uploaded while jobs write them. Woken by file events; a rescan finds whatever they missed.

One thread decides (``step``), others make the passes. A session that is closed and settled costs nothing but a note of when
that was found; one that lives costs a pass when its job writes; one that waits costs a try now and then.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from tracehoused.service.backlog import Backlog
from tracehoused.service.lookout import Lookout
from tracehoused.service.parking import Parking
from tracehoused.service.passes import Done, Passes
from tracehoused.service.spools import fingerprint, segments
from tracehoused.service.tracked import Schedule, Tracked
from tracehoused.service.watcher import Hints
from tracehoused.text import printable
from tracehoused.upload.damage import no_record
from tracehoused.upload.engine import Engine, Report
from tracehoused.upload.uploader import Outcome

__all__ = ["Agent"]

log = logging.getLogger("tracehoused")

# hints that come while a job writes on: the kernel joins those that nobody has read yet
_COALESCE = 0.02
_GAP = 0.05
_DYING = 0.25
_LEASE_WAIT = 5.0
_ANSWER = re.compile(r"\b([45][0-9][0-9]): .*", re.DOTALL)


class Agent:
    """``run`` until ``stop``; or ``step`` by step. ``beat`` is called after each rescan, once a minute at least.

    ``lookout``: the spools, and what is known of their sessions. ``stop``, ``drain_then_stop`` and ``look_again`` may be called
    from any thread and from signal handlers.
    """

    def __init__(
        self,
        engine: Engine,
        lookout: Lookout,
        *,
        jobs: int,
        rng: Random | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self.lookout = lookout
        self._rng = rng or Random()
        self._beat = beat
        self.backlog = Backlog()
        engine.on_request(self.backlog.headers, self.backlog.heard)
        self._schedule = Schedule(jobs)
        self._passes = Passes(engine, lookout, jobs, lambda: self._schedule.has_hot_waiting)
        self._parking = Parking(self._schedule, self._rng)
        # a flag and no Event: whose lock the main thread may hold when a signal handler sets it
        self._stopping = False
        self._draining = False
        self.failed: set[str] = set()  # sessions of whose last pass something was left

    def run(self) -> None:
        """Upload until ``stop`` is called; then finish what is under way."""
        try:
            while not self._stopping:
                hints = self.lookout.watcher.wait(self.until_due())
                self.step(hints)
                if self._draining and self._is_drained():
                    break
                if hints.sessions:
                    time.sleep(_COALESCE)
        finally:
            self._passes.close()
            self._settle_done()
            self.lookout.close()

    def run_once(self) -> None:
        """One pass over all there is that is not settled, with no second try; then return."""
        self._draining = True
        self.run()

    def stop(self) -> None:
        self._stopping = True
        self.lookout.watcher.wake()

    def drain_then_stop(self) -> None:
        """Upload all there is now, with one try for each session, then stop."""
        self._draining = True
        self.lookout.look_now()
        self.lookout.watcher.wake()

    def step(self, hints: Hints) -> None:
        """Begin passes over the sessions that hints or the time call for."""
        self._settle_done()
        now = time.monotonic()
        for session in self.lookout.hinted(hints, now):
            if not self._draining:
                self._want(session, now, hot=True)
        for session in self.lookout.ended(hints):
            # a little later: a file is told to be closed before its lock is given up
            session.mark = (-1, 0)
            if session.running:
                session.again = True
            elif session.state == "live":
                self._schedule.at(session, now + _DYING)
        if self.lookout.is_due(now):
            for session in self.lookout.rescan(now):
                self._want(session, now, hot=session.state == "live")
            self._parking.keep_asking(now)
            self._beat()
        for session in self.lookout.watches.at_rest(now):
            self._look_later(session, now)
        for session in self._schedule.due(now):
            self._on_time(session, now)
        self._begin_passes()
        self._passes.ask_again(now)
        if self.backlog.due is not None and self.backlog.due <= now:
            self._count()

    def _count(self) -> None:
        """How much waits, and for which server: those that will hear of it with no request of a session are told by one of their own."""
        lookout = self.lookout
        self.backlog.count(lookout.sessions, [spool.ledger for spool in lookout.spools.values()])
        if self._schedule.idle:
            for api_base, machine in self.backlog.untold():
                self._engine.tell(api_base, machine)

    def until_due(self) -> float:
        """Seconds until there is something to do without a hint."""
        lookout = self.lookout
        looks = (lookout.next_look, lookout.watches.next_rest)
        times = (self._schedule.next_due(), self.backlog.due, self._passes.due, *looks)
        return max(0.0, min(at for at in times if at is not None) - time.monotonic())

    def _is_drained(self) -> bool:
        due = self._schedule.next_due()
        soon = due is not None and due <= time.monotonic() + _GAP
        return self._schedule.idle and not self._passes.done and not soon and self.lookout.has_looked

    def _want(self, session: Tracked, now: float, *, hot: bool) -> None:
        if session.pending_since is None:
            session.pending_since = now
        self.backlog.changed(now)
        if session.running:
            session.again = True
        elif session.state in ("retry", "parked", "stopped") and hot:
            pass  # more records do not make it succeed: it has its time
        elif session.rests > now:
            self._schedule.at(session, session.rests)
        else:
            self._schedule.at(session, None)
            self._schedule.want(session, hot=hot)

    def _on_time(self, session: Tracked, now: float) -> None:
        """A try that was to be repeated, or a look at a live session that gives no hints."""
        if session.state == "live" and not session.again and (session.awaits is None or now < session.awaits):
            if fingerprint(session.path) == session.mark:
                self._schedule.at(session, session.next_look(self.lookout.next_poll(session, now)))
                return
            session.grew = now
        session.again = False
        hot = session.state == "live"
        if session.state == "parked":
            session.state = "retry"
        self._schedule.want(session, hot=hot)

    def _begin_passes(self) -> None:
        while not self._stopping and (session := self._schedule.take()) is not None:
            # the watch first, and the writers too: what comes after the pass has looked is then told
            self._watch(session, time.monotonic())
            with suppress(OSError):  # which the pass tells of
                self.lookout.set_epochs(session, segments(session.path))
            self._passes.begin(session)

    def _watch(self, session: Tracked, now: float) -> None:
        loser = self.lookout.watches.give(session, now)
        if loser is not None:
            self._look_later(loser, now)

    def _look_later(self, session: Tracked, now: float) -> None:
        """By the clock, for it has no watch any more."""
        if session.state == "live":
            self._schedule.at(session, session.next_look(self.lookout.next_poll(session, now)))

    def _settle_done(self) -> None:
        while self._passes.done:
            done = self._passes.done.popleft()
            self._schedule.over(done.session)
            done.session.awaits, done.session.rests = None, 0.0
            now = time.monotonic()
            self.backlog.changed(now)
            self._note(done, now)
            if done.report is None:
                self._wait_for_records(done, now)
            elif done.report.outcome.complete:
                self._completed(done, done.report, now)
            elif done.report.outcome.scope == "turn":
                self._go_on(done.session)
            else:
                self._left(done, done.report, now)

    def _note(self, done: Done, now: float) -> None:
        session = done.session
        if done.mark != session.mark:
            session.mark = done.mark
            session.grew = now
            session.stalled = False
        session.size = done.mark[0]
        if done.report is not None and done.report.manifest is not None:
            session.home = done.report.manifest.api_base, done.report.manifest.machine_id
        if done.report is not None and done.report.left is not None:
            session.left = done.report.left
        if done.report is not None and done.report.destination is not None:
            session.api_base = done.report.destination.api_base
            session.dead, session.dropped = done.report.dead, done.report.dropped
            if done.report.damaged:
                log.warning("%s", no_record(done.report.damaged), extra={"session": session.path})
            self._parking.hear(done.report.destination, done.report.outcome.scope, now)

    def _wait_for_records(self, done: Done, now: float) -> None:
        """A directory in which no record is yet."""
        session = done.session
        session.backoff, session.trouble = None, ""
        if session.again:
            session.again = False
            self._schedule.at(session, now + _GAP)
        else:
            session.state = "new"

    def _go_on(self, session: Tracked) -> None:
        """It has more to send, after those that waited."""
        session.backoff, session.trouble, session.again = None, "", False
        self._schedule.want(session, hot=session.hot)

    def _completed(self, done: Done, report: Report, now: float) -> None:
        session = done.session
        self.failed.discard(session.path)
        session.backoff, session.trouble, session.pending_since = None, "", None
        self.lookout.set_epochs(session, done.epochs if report.live else ())
        if session.again or (not self._draining and fingerprint(session.path) != done.mark):
            session.again, session.state = True, "live"
            session.pending_since = now
            self._schedule.at(session, now + _GAP)
        elif report.live:
            session.again, session.state = False, "live"
            self._schedule.at(session, self.lookout.next_poll(session, now))
        else:
            self.lookout.settled(session, done.mark)

    def _left(self, done: Done, report: Report, now: float) -> None:
        session, outcome = done.session, report.outcome
        told = _ANSWER.sub(r"\1", printable(outcome.trouble))
        # the answer's own words may repeat what was sent: they are in `tracehouse status`, not in the log
        if report.left_alone:  # who asked has told it: thousands that wait are not to fill the log with that
            told = session.trouble or told
        elif told != session.trouble and outcome.scope != "lease":
            log.warning("not uploaded: %s", told, extra={"session": session.path})
        session.trouble = told
        is_wanted, session.again = session.again, False
        grew = is_wanted or fingerprint(session.path) != done.mark
        self.failed.add(session.path)
        if is_wanted and self._draining:
            session.state = "retry"
            self._schedule.at(session, now + _GAP)
        elif outcome.awaits and not self._draining:
            session.await_more(now, done.took, self._rng)
            poll = now + _GAP if grew else self.lookout.next_poll(session, now)
            self._schedule.at(session, session.next_look(poll))
        elif outcome.stopped:
            self._parking.stop(session, now)
        elif report.destination is None and outcome.scope != "lease":
            session.state = "waiting"
            self.lookout.waits(session)
            if report.left is None:  # it lacks more than a key
                self._schedule.at(session, self.lookout.next_try(now, session.wait(self._rng, None)))
        elif report.destination is not None and outcome.scope in ("destination", "identity"):
            place = report.destination.api_base if outcome.scope == "destination" else report.destination.hash
            self._parking.park(session, place, outcome.retry_after, now)
        else:
            session.state = "retry"
            session.rests = now + (outcome.retry_after or 0.0)
            self._schedule.at(session, now + self._wait(session, outcome, now))

    def _wait(self, session: Tracked, outcome: Outcome, now: float) -> float:
        """Seconds until another try. Who has a lease may be done soon: also this agent's own retention, which is no failure of the one try
        that there is before an agent ends."""
        if outcome.scope != "lease":
            return session.wait(self._rng, outcome.retry_after)
        is_new = session.pending_since is not None and now - session.pending_since < _LEASE_WAIT
        return _GAP if self._draining and is_new else _LEASE_WAIT
