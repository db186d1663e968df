"""What the agent sees to besides uploading: stalled jobs, deletion after the grace, and the spool's budget."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from tracehouse.exceptions import TracehouseError
from tracehouse.spool.budget import measure
from tracehoused import letters
from tracehoused.config import Settings
from tracehoused.exceptions import LeaseHeld
from tracehoused.service.lookout import Lookout
from tracehoused.service.pruning import Pruned, candidates, note_pruned, prune_session, tidy
from tracehoused.service.spools import Spool
from tracehoused.service.tracked import Tracked
from tracehoused.upload.damage import no_record
from tracehoused.upload.engine import Engine

__all__ = ["Keeping"]

log = logging.getLogger("tracehoused")

_WARN_EVERY = 60.0
_HOUR = 3600.0
_DAY = 86400.0
_MOMENT = 300.0
_GLANCE = 0.2
_SHARE = 50  # measuring a spool takes at most this part of a core


class Keeping:
    """``step`` after each look through the spools, from the thread that looks; deletion goes on in another."""

    def __init__(self, engine: Engine, lookout: Lookout, settings: Settings) -> None:
        self._engine = engine
        self._lookout = lookout
        self._settings = settings
        self._thread: threading.Thread | None = None
        self._done: deque[Pruned] = deque()
        self._stopping = threading.Event()
        self._children: list[subprocess.Popen[bytes]] = []
        self._tidied: set[str] = set()
        self._kept: dict[str, float] = {}  # when each may be tried again
        self._daily_at = time.monotonic() + _DAY
        # when to look for dead letters that are due: they tell themselves, also to an agent that is begun anew each hour
        self._letters_at = 0.0
        self._tried: dict[str, float] = {}  # sessions of which some were tried again, and when
        self._warned_at: float | None = None
        self._measured_at = 0.0

    def step(self) -> None:
        self._tidy()
        self._children = [child for child in self._children if child.poll() is None]
        self._note_pruned()
        now = time.monotonic()
        for session in self._lookout.sessions.values():
            if session.state == "live" and not session.stalled and now - session.grew >= self._settings.stall_after:
                self._stalled(session)
        if now >= self._daily_at:
            self._kept.clear()
            self._tidied.clear()
            self._daily_at = now + _DAY
        is_free = self._thread is None or not self._thread.is_alive()
        if is_free and not (now >= self._letters_at and self._begin_letters(now)):
            self._prune()

    def finish(self, goes_on: Callable[[], bool]) -> None:
        """See what is under way through, and what is due by now, as long as it ``goes_on``: there is no next step."""
        self._wait(goes_on)
        if goes_on() and self._begin_letters(time.monotonic()):
            self._wait(goes_on)

    def _wait(self, goes_on: Callable[[], bool]) -> None:
        while self._thread is not None and self._thread.is_alive() and goes_on():
            self._thread.join(_GLANCE)

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._note_pruned()

    def _tidy(self) -> None:
        fresh = [path for path in self._lookout.spools if path not in self._tidied]
        self._tidied.update(fresh)
        for found in tidy(fresh):
            log.warning("%s", found, extra={"session": found.session})

    def _stalled(self, session: Tracked) -> None:
        session.stalled = True
        minutes = self._settings.stall_after / 60
        log.warning(
            "its job lives, but has recorded nothing for %.3g minutes", minutes, extra={"session": session.path}
        )
        if not self._settings.on_stall:
            return
        environ = {**os.environ, "TRACEHOUSE_STALLED_SESSION": session.path}
        environ.pop("TRACEHOUSE_API_KEY", None)
        try:
            child = subprocess.Popen(
                [*self._settings.on_stall, session.path],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._children.append(child)
        except OSError as error:
            log.warning("on_stall cannot be run: %s", error)

    def _prune(self) -> None:
        if self._settings.spool_max_bytes is not None or self._settings.spool_max_files is not None:
            if time.monotonic() >= self._measured_at:
                self._begin(partial(self._prune_to_budget, list(self._lookout.spools)))
            return
        chosen = [path for spool in self._lookout.spools.values() for path in self._candidates(spool, 0, 0)]
        if chosen:
            self._begin(partial(self._prune_all, chosen))

    def _candidates(self, spool: Spool, over: int, over_files: int) -> list[str]:
        odo = self._lookout.odometer.now()
        grace = self._settings.retention_grace
        now = time.monotonic()

        def is_kept(name: str) -> bool:
            return self._kept.get(os.path.join(spool.path, name), now) > now

        names = candidates(spool.ledger, older_than=grace, odo=odo, over=over, over_files=over_files, but=is_kept)
        return [os.path.join(spool.path, name) for name in names]

    def _prune_to_budget(self, spools: list[str]) -> None:
        began = time.monotonic()
        for spool in [self._lookout.spools[path] for path in spools]:
            over, over_files = self._over_budget(spool)
            chosen = self._candidates(spool, over, over_files)
            if not chosen and (over or over_files):
                self._warn(spool)
            self._prune_all(chosen)
        now = time.monotonic()
        self._measured_at = now + (now - began) * _SHARE

    def _begin(self, work: Callable[[], None]) -> bool:
        """False where it has to be tried again."""

        def run() -> None:
            try:
                work()
            except Exception:  # a thread's top: what is to be deleted would stay for ever, and nobody know why
                log.exception("a defect cut short what is deleted or tried again; the next round begins anew")

        thread = threading.Thread(target=run, name="tracehouse-keep", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("no thread is to be had (%s): what is to be deleted or tried again waits for one", error)
            return False
        self._thread = thread
        return True

    def _begin_letters(self, now: float) -> bool:
        """Whether some are tried again now."""
        found = self._with_dead_letters()
        begun = bool(found) and self._begin(partial(self._retry_parked, found))
        if begun or not found:
            self._letters_at = now + _HOUR
        return begun

    def _with_dead_letters(self) -> dict[str, str]:
        """Sessions, each with its server."""
        lookout = self._lookout
        found = {session.path: session.home[0] for session in lookout.sessions.values() if session.dead}
        for spool in lookout.spools.values():
            noted = ((name, note) for name, note in spool.ledger.items() if note.dead)
            found.update((os.path.join(spool.path, name), note.home[0]) for name, note in noted)
        return found

    def _retry_parked(self, sessions: dict[str, str]) -> None:
        """What a server failed at rather than refused may be to its taste by now."""
        self._tried = {session: at for session, at in self._tried.items() if session in sessions}
        away: set[str] = set()
        for session, server in sessions.items():
            if self._stopping.is_set():
                return
            now = time.monotonic()
            tried = self._tried.get(session)
            if server in away or (tried is not None and now < tried + _DAY) or not self._has_due(session):
                continue
            self._tried[session] = now
            if self._retry_due(session):
                away.add(server)

    def _has_due(self, session: str) -> bool:
        return any(letters.is_due(letter, time.time()) for letter in letters.letters_of(self._engine, session))

    def _retry_due(self, session: str) -> bool:
        """Whether its server does not take any at all."""
        now = time.time()
        try:
            done = letters.retry(self._engine, session, lambda letter: letters.is_due(letter, now))
        except LeaseHeld:
            del self._tried[session]  # who is at it will be done soon: when letters are looked for again
            return False
        except (TracehouseError, OSError) as error:
            log.info("dead letters are not tried again: %s", error, extra={"session": session})
            return False
        if done.accepted:
            log.info("%d dead letters were accepted", done.accepted, extra={"session": session})
        return done.halted

    def _over_budget(self, spool: Spool) -> tuple[int, int]:
        """Bytes and files beyond what the spool may have."""
        settings = self._settings
        size, files = measure(spool.path)
        most, most_files = settings.spool_max_bytes or size, settings.spool_max_files or files
        return max(0, size - most), max(0, files - most_files)

    def _warn(self, spool: Spool) -> None:
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at >= _WARN_EVERY:
            self._warned_at = now
            told = (
                "over its budget, and nothing in it may be deleted yet: jobs go on writing, or drop, as they were told"
            )
            log.warning("%s", told, extra={"spool": spool.path})

    def _prune_all(self, chosen: list[str]) -> None:
        for session in chosen:
            if self._stopping.is_set():
                return
            self._done.append(prune_session(self._engine, session))

    def _note_pruned(self) -> None:
        while self._done:
            pruned = self._done.popleft()
            if pruned.kept:
                self._kept[pruned.session] = time.monotonic() + (_MOMENT if pruned.momentary else _DAY)
                log.info("not deleted: %s", pruned.kept, extra={"session": pruned.session})
                continue
            log.info("deleted %d bytes that are acknowledged", pruned.freed, extra={"session": pruned.session})
            if pruned.damaged:
                log.warning("of what was deleted, %s", no_record(pruned.damaged), extra={"session": pruned.session})
            ledger = self._lookout.spools[os.path.dirname(pruned.session)].ledger
            note_pruned(ledger, pruned)
