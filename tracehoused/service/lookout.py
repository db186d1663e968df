"""Where the agent looks: the spools, their file events, and which of their sessions there is something to do with.

A session that is closed and settled is a note in its spool's ledger: at each rescan it is compared with its directory's mtime, and with
its size while it may grow. The others are tracked. A live one has a watch, or, beyond the watches there are and where no events come
(network file systems), is looked at by the clock: each second or so where it grew lately, less often where it did not, and the less
the more there are.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence

from tracehouse.spool import layout, liveness
from tracehoused.service.backlog import count_new
from tracehoused.service.growing import LINGERS, Writing, ends_of, have_grown
from tracehoused.service.ledger import Note, Odometer, age, directory_mark
from tracehoused.service.spools import Spool, Spools, fingerprint
from tracehoused.service.tracked import Tracked
from tracehoused.service.watcher import Hints, Watcher
from tracehoused.service.watches import LATELY, Watches

__all__ = ["Lookout"]

log = logging.getLogger("tracehoused")

_POLL = 0.5
_REMOTE_POLL = 1.0
_COST = 0.006  # seconds between two looks at idle sessions, so that they take less than a hundredth of a core
_TRY_COST = 0.05
_BLIND_RESCAN = 30.0
_MEASURED = 20_000
_COUNTED = 5_000


class Lookout:
    """``patterns``: paths or patterns of spools. ``rescan_every``, ``dead_after``: seconds. ``credentials``: files whose change
    is a reason to try sessions again that have no key. ``only``: look at this session directory of theirs alone. ``marking``: let
    jobs know that an agent is here."""

    def __init__(
        self,
        patterns: Sequence[str],
        state_dir: str,
        *,
        rescan_every: float,
        dead_after: float,
        credentials: Sequence[str] = (),
        only: str | None = None,
        marking: bool = True,
    ) -> None:
        self._every = rescan_every
        self._dead_after = dead_after
        self._credentials = credentials
        self._only = only
        self._keys_seen: object = None
        self.watcher = Watcher()
        self.odometer = Odometer(state_dir)
        self.spools = Spools(patterns, state_dir, marking=marking)
        self.sessions: dict[str, Tracked] = {}
        self._by_epoch: dict[str, set[str]] = {}
        self._beats: dict[str, tuple[float, float]] = {}
        self.watches = Watches(self.watcher, self.sessions)
        self._waiting: set[str] = set()
        self._problem_told = ""
        self.has_looked = False
        self.next_look = 0.0

    def open(self) -> None:
        """Find the spools and begin to watch them; what cannot be watched is polled, what cannot be used is tried again."""
        for path in self.spools.find():
            with self.spools.attempt(path):
                self._open(path)
        self._tell_of_watcher()

    def _open(self, path: str) -> Spool:
        spool = self.spools.open(path)
        self.watcher.add_spool(path)
        return spool

    def _tell_of_watcher(self) -> None:
        if self.watcher.problem != self._problem_told:
            self._problem_told = self.watcher.problem
            log.warning("%s", self.watcher.problem)

    def close(self) -> None:
        self.save()
        for spool in self.spools.values():
            spool.close()
        self.watcher.close()

    def save(self) -> None:
        """Note down what is known, for the next start."""
        try:
            self.odometer.save()
            for spool in self.spools.values():
                spool.ledger.save()
        except OSError as error:
            log.warning("cannot note down what is settled: %s", error)

    def look_now(self) -> None:
        """At all that is not settled: what failed has another try, and so has what is under way, which may have begun too early."""
        self.next_look = 0.0
        self.has_looked = False

    def is_due(self, now: float) -> bool:
        return now >= self.next_look

    def hinted(self, hints: Hints, now: float) -> Iterator[Tracked]:
        """The sessions in which something was recorded, as hints tell."""
        if hints.lost:
            self.next_look = now
        for path in hints.sessions:
            is_ours = os.path.dirname(path) in self.spools and self._is_meant(path)
            if is_ours and (path in self.sessions or not os.path.islink(path)):
                yield self._track(path, now)

    def ended(self, hints: Hints) -> Iterator[Tracked]:
        """The sessions of writers whose locks were closed."""
        for path in {path for epoch in hints.ended for path in self._by_epoch.get(epoch, ())}:
            if path in self.sessions:
                yield self.sessions[path]

    def rescan(self, now: float) -> list[Tracked]:
        """Whatever events said or missed: sessions that grew, are new, may have died, or have a key at last."""
        wanted: dict[str, Tracked] = {}
        for path in self.spools.find():
            with self.spools.attempt(path):
                self._look_through(self._open(path), now, wanted)
        self._tell_of_watcher()
        for path in self._dead_writers(now) | self._with_keys():
            if path in self.sessions:
                wanted[path] = self.sessions[path]
        if not self.has_looked:
            again = ("retry", "parked", "waiting")
            wanted.update((path, one) for path, one in self.sessions.items() if one.running or one.state in again)
        self.has_looked = True
        blind = bool(self.watcher.polled) and any(session.state == "live" for session in self.sessions.values())
        every = min(self._every, _BLIND_RESCAN) if self.watcher.polled else self._every
        self.next_look = now + (_REMOTE_POLL * 5 if blind and len(self.sessions) < 1000 else every)
        return list(wanted.values())

    def _look_through(self, spool: Spool, now: float, wanted: dict[str, Tracked]) -> None:
        names: set[str] = set()
        fresh: list[Tracked] = []
        writing = Writing(spool.path)
        for name, mtime in spool.sessions():
            if not self._is_meant(os.path.join(spool.path, name)):
                continue
            names.add(name)
            note = spool.ledger.get(name)
            if (
                note is not None
                and note.mtime == mtime
                and not (note.ends and self._has_grown(spool, name, note, writing))
            ):
                continue
            path = os.path.join(spool.path, name)
            known = self.sessions.get(path)
            if known is None:
                fresh.append(self._track(path, now))
            elif self._may_have_grown(known) and fingerprint(path) != known.mark:
                wanted[path] = known
        for number, session in enumerate(fresh):
            if len(fresh) <= _MEASURED:
                session.size = fingerprint(session.path)[0]
            if number < _COUNTED:
                count_new(session)
            wanted[session.path] = session
        spool.ledger.keep_only(names)
        gone = [path for path in self.sessions if os.path.dirname(path) == spool.path]
        for path in gone:
            if os.path.basename(path) not in names and not self.sessions[path].running:
                self._forget(self.sessions[path])

    def _has_grown(self, spool: Spool, name: str, note: Note, writing: Writing) -> bool:
        # asked first: what was written before is then within the size
        may_grow = age(note, time.time(), self.odometer.now()) < LINGERS or writing.any_of(note.ends)
        if have_grown(os.path.join(spool.path, name), note.ends):
            return True
        if not may_grow:
            spool.ledger.put(name, note._replace(ends=()))
        return False

    def _is_meant(self, path: str) -> bool:
        return self._only is None or path == self._only

    @staticmethod
    def _may_have_grown(session: Tracked) -> bool:
        """Events may have been missed; who is looked at by the clock often needs no look besides."""
        is_asleep = session.state == "waiting" or (session.state in ("live", "new") and session.due is None)
        return is_asleep and not session.running

    def _dead_writers(self, now: float) -> set[str]:
        """Sessions of writers that are gone, or were not heard of for long by our own clock: of few writers, not of each session."""
        found: set[str] = set()
        for epoch, paths in self._by_epoch.items():
            writers = os.path.join(os.path.dirname(next(iter(paths))), layout.WRITERS)
            lock = liveness.read_lock(writers, epoch)
            if lock is None or liveness.lives_here(lock) is False:
                found |= paths if self._beats.get(epoch, (0.0, 0.0))[0] != -1.0 else set()
                self._beats[epoch] = (-1.0, now)
                continue
            beat, since = self._beats.get(epoch, (0.0, now))
            if beat != lock["heartbeat"]:
                beat, since = lock["heartbeat"], now
            elif now - since > self._dead_after:
                found |= paths
                since = now
            self._beats[epoch] = (beat, since)
        return found

    def _with_keys(self) -> set[str]:
        seen = [_changed_at(path) for path in self._credentials]
        changed, self._keys_seen = self._keys_seen not in (None, seen), seen
        if not changed:
            return set()
        found, self._waiting = self._waiting, set()
        # a pass under way may have looked for its key before
        return found | {path for path, session in self.sessions.items() if session.running}

    def waits(self, session: Tracked) -> None:
        """It has no key, or cannot be read: tried again when keys change, or its segments do."""
        self._waiting.add(session.path)
        self.watches.take(session)

    def next_try(self, now: float, wait: float) -> float:
        """When one that cannot be read is tried again, ``wait`` seconds from now or later: many take no larger part of a core than few."""
        return now + max(wait, len(self.sessions) * _TRY_COST)

    def settled(self, session: Tracked, mark: tuple[int, int]) -> None:
        """Nothing is left to do with it: a note takes its place, if its segments still are as they were at ``mark``."""
        spool = self.spools[os.path.dirname(session.path)]
        name, mtime = os.path.basename(session.path), directory_mark(session.path)
        ends = ends_of(session.path)  # no later than the mark is compared: segments only grow
        if fingerprint(session.path) != mark:
            mtime = 0  # to be looked at again: what comes after this look changes its directory
        known = spool.ledger.get(name)
        wall, odo = time.time(), self.odometer.now()
        if known is not None and known.size == mark[0]:
            wall, odo = known.wall, known.odo  # its directory changed, its records did not
        pruned = not mark[0] and self.is_left(session.path)
        home = session.home if session.dead or session.dropped else ("", "")
        if mtime:
            note = Note(
                mtime, wall, odo, mark[0], _files(session.path), session.dead, pruned, session.dropped, home, ends
            )
            spool.ledger.put(name, note)
        else:
            spool.ledger.drop(name)
        self._forget(session)

    @staticmethod
    def is_left(path: str) -> bool:
        """A pruned session: its receipt is there, its records are not."""
        return os.path.isdir(os.path.join(path, layout.UPLOAD))

    def next_poll(self, session: Tracked, now: float) -> float | None:
        """When a live session is to be looked at without a hint."""
        if session.watched:
            self.watches.renew(session)
            return None
        if os.path.dirname(session.path) in self.watcher.polled:
            return now + _REMOTE_POLL
        if now - session.grew < LATELY and len(self.sessions) < 1000:
            return now + _POLL
        # on whole seconds: those of one second share a wake-up
        return math.ceil(now + len(self.sessions) * _COST)

    def set_epochs(self, session: Tracked, epochs: tuple[str, ...]) -> None:
        """The writers whose end is a reason to look at it."""
        for epoch in session.epochs:
            paths = self._by_epoch.get(epoch)
            if paths is not None:
                paths.discard(session.path)
                if not paths:
                    del self._by_epoch[epoch]
                    self._beats.pop(epoch, None)
        session.epochs = epochs
        for epoch in epochs:
            self._by_epoch.setdefault(epoch, set()).add(session.path)

    @property
    def living(self) -> Mapping[str, set[str]]:
        """Sessions by the epoch of a writer that has not ended."""
        return self._by_epoch

    def _track(self, path: str, now: float) -> Tracked:
        known = self.sessions.get(path)
        if known is None:
            known = self.sessions[path] = Tracked(path, now)
        return known

    def _forget(self, session: Tracked) -> None:
        self.watches.take(session)
        self.set_epochs(session, ())
        self._waiting.discard(session.path)
        session.due, session.ready, session.state = None, False, "gone"  # whatever comes of this path is another
        self.sessions.pop(session.path, None)


def _files(session: str) -> int:
    return 1 + sum(len(names) + len(dirs) for _, dirs, names in os.walk(session))


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
