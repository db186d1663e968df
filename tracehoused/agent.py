"""The agent: keeps sessions uploaded while jobs write them. Woken by file events; a rescan finds whatever they missed."""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from tracehoused.engine import Engine, Report
from tracehoused.reader import session_dirs
from tracehoused.retry import Backoff
from tracehoused.text import printable
from tracehoused.watcher import Watcher

__all__ = ["Agent"]

log = logging.getLogger("tracehoused")

RESCAN_SECONDS = 60.0
POLL_SECONDS = 1.0
LIVE_SECONDS = 10.0


@dataclass
class _Session:
    """``due``: monotonic time of the next pass; None when only an event makes one. ``size``: what the rescan saw last."""

    backoff: Backoff
    due: float | None = 0.0
    again: bool = False
    running: Future[None] | None = None
    seen: tuple[int, int] = (0, 0)


class Agent:
    """``run`` until ``stop``; one pass over what is due is ``step``, which needs no thread of its own."""

    def __init__(self, engine: Engine, spools: list[str], *, jobs: int, rng: Random | None = None) -> None:
        self._engine = engine
        self._spools = spools
        self._rng = rng or Random()
        self._watcher = Watcher(spools)
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="tracehouse-upload")
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._scanned = -RESCAN_SECONDS

    def run(self) -> None:
        """Upload until ``stop`` is called; then finish what is under way."""
        self._watcher.start()
        if self._watcher.problem:
            log.warning("%s", self._watcher.problem)
        log.info("watching %s", ", ".join(self._spools))
        try:
            while not self._stopping.is_set():
                self.step(self._watcher.wait(self._until_due()))
        finally:
            self._watcher.stop()
            self._pool.shutdown()
            log.info("stopped")

    def stop(self) -> None:
        self._stopping.set()
        self._watcher.wake()

    def step(self, hints: set[str]) -> None:
        """Begin passes over the sessions that hints or the time call for."""
        now = time.monotonic()
        if now - self._scanned >= self._rescan_seconds():
            self._scanned = now
            self._rescan()
        with self._lock:
            for path in hints:
                self._session(path).due = now
            for path, session in self._sessions.items():
                if session.due is not None and session.due <= now:
                    self._begin(path, session)

    def _rescan_seconds(self) -> float:
        return POLL_SECONDS if self._watcher.problem else RESCAN_SECONDS

    def _until_due(self) -> float:
        with self._lock:
            dues = [s.due for s in self._sessions.values() if s.due is not None and s.running is None]
        return max(0.0, min([*dues, self._scanned + self._rescan_seconds()]) - time.monotonic())

    def _session(self, path: str) -> _Session:
        if path not in self._sessions:
            self._sessions[path] = _Session(Backoff(self._rng))
        return self._sessions[path]

    def _rescan(self) -> None:
        """Whatever events said or missed: sessions that grew, are new, or are gone."""
        found = {path for spool in self._spools if os.path.isdir(spool) for path in session_dirs(spool)}
        with self._lock:
            for path in found:
                session = self._session(path)
                seen = _fingerprint(path)
                if seen != session.seen:
                    session.seen = seen
                    session.due = session.due if session.due is not None else 0.0
            for path in set(self._sessions) - found:
                if self._sessions[path].running is None:
                    del self._sessions[path]

    def _begin(self, path: str, session: _Session) -> None:
        session.due = None
        if session.running is not None:
            session.again = True
            return
        session.running = self._pool.submit(self._pass, path, session)

    def _pass(self, path: str, session: _Session) -> None:
        try:
            report = self._engine.drain(path)
        except Exception:  # a thread's top: one session's trouble must not end the agent
            log.exception("%s: a defect stopped this pass; it is tried again", printable(path))
            report = None
        with self._lock:
            session.running = None
            session.due = self._next_due(session, report)
            session.again = False
        self._watcher.wake()

    def _next_due(self, session: _Session, report: Report | None) -> float | None:
        now = time.monotonic()
        if session.again:
            return now
        if report is not None and report.outcome.complete:
            session.backoff.reset()
            # a writer that dies makes no event: live sessions are looked at again
            return now + LIVE_SECONDS if report.live else None
        if report is not None:
            log.warning("%s: %s", printable(report.session), printable(report.outcome.trouble))
            if report.outcome.stopped:
                return None
        return now + session.backoff.next(report.outcome.retry_after if report else None)


def _fingerprint(path: str) -> tuple[int, int]:
    """Changes whenever a segment grows or a file appears."""
    size = newest = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                size += found.st_size if entry.name.endswith(".jsonl") else 0
                newest = max(newest, found.st_mtime_ns)
    except FileNotFoundError:
        pass
    return size, newest
