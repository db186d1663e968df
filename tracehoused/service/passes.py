"""Passes over sessions, in threads: how each ended waits for the agent's one thread that decides."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tracehoused.service.lookout import Lookout
from tracehoused.service.spools import UNREADABLE, read_mark, segments
from tracehoused.service.tracked import Tracked
from tracehoused.unreadable import why
from tracehoused.upload.engine import Engine, Report
from tracehoused.upload.uploader import Outcome

__all__ = ["Done", "Passes"]

log = logging.getLogger("tracehoused")

_THREAD_WAIT = 1.0
_TURN = 5.0  # seconds that a pass has where a live session waits for its place


@dataclass(frozen=True)
class Done:
    """A pass that ended. ``mark`` and ``epochs``: what the session's segments were before it; ``report``: None where there was nothing to
    send; ``took``: seconds."""

    session: Tracked
    mark: tuple[int, int]
    epochs: tuple[str, ...]
    report: Report | None
    took: float


class Passes:
    """At most ``jobs`` at once. ``are_awaited``: some session is to have its pass before others go on with a long one. ``done``: those
    that ended; the lookout's watcher is woken for each. ``due``: when ``ask_again`` has something to do, monotonic."""

    def __init__(self, engine: Engine, lookout: Lookout, jobs: int, are_awaited: Callable[[], bool]) -> None:
        self._engine = engine
        self._are_awaited = are_awaited
        self._lookout = lookout
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="tracehouse-upload")
        self.done: deque[Done] = deque()
        self.due: float | None = None

    def begin(self, session: Tracked) -> None:
        self._submit(partial(self._pass, session))

    def ask_again(self, now: float) -> None:
        """For a thread, where none was to be had."""
        if self.due is not None and self.due <= now:
            self._submit(lambda: None)

    def close(self) -> None:
        """Those that began come to their end."""
        self._pool.shutdown()

    def _submit(self, work: Callable[[], None]) -> None:
        try:
            self._pool.submit(work)
        except RuntimeError as error:
            # it is queued all the same, for a thread that there is or will be
            if self.due is None:
                log.warning("no thread is to be had (%s): what there is to do waits for one", error)
            self.due = time.monotonic() + _THREAD_WAIT
        else:
            self.due = None

    def _pass(self, session: Tracked) -> None:
        began = time.monotonic()

        def has_had_its_turn() -> bool:
            return time.monotonic() - began > _TURN and self._are_awaited()

        mark, report, trouble = UNREADABLE, None, ""
        epochs: tuple[str, ...] = ()
        try:
            mark, epochs = read_mark(session.path), segments(session.path)
            if epochs or self._lookout.is_left(session.path):
                report = self._engine.drain(session.path, has_had_its_turn)
        except OSError as error:
            trouble = f"cannot be read: {why(session.path, error)}"
        except Exception as error:  # a thread's top: one session's trouble must not end the agent
            log.exception("a defect stopped this pass; it is tried again", extra={"session": session.path})
            trouble = f"a defect stopped its pass ({type(error).__name__}): see the agent's log"
        if trouble:
            report = Report(session.path, None, None, Outcome(False, trouble))
        self.done.append(Done(session, mark, epochs, report, time.monotonic() - began))
        self._lookout.watcher.wake()
