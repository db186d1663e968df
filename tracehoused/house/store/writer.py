"""One thread that writes: requests that wait at the same moment share one transaction and one sync to disk.

Each change runs in a savepoint of its own, so a refused one leaves its neighbours untouched. A result is handed out
only after the commit that made it durable.

Several processes may write to one server. A change that looks before it writes names what it looked at; two changes of
one name, in whatever processes, run one after the other.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from tracehoused.house.errors import Refusal, StorageFailure
from tracehoused.house.store import dialect
from tracehoused.house.store.dialect import STORAGE_ERRORS

T = TypeVar("T")
Change = Callable[[Connection], Any]
_Job = tuple[Change, "Future[Any]", tuple[str, ...]]

MOST_PER_COMMIT = 64
_MOST_TRIES = 5
log = logging.getLogger("tracehouse.house")


class Writer:
    """Runs changes one after another. `submit` may be called from any thread; `close` waits for what was submitted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="house-writer", daemon=True)
        self._thread.start()

    def submit(self, change: Callable[[Connection], T], names: tuple[str, ...] = ()) -> Future[T]:
        result: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise StorageFailure("the house is shutting down")
            self._jobs.put((change, result, names))
        return result

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            jobs, more = self._take()
            if jobs:
                self._commit(jobs)
            if not more:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        """The next jobs, at least one unless the end was reached, and whether to go on after them."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while True:
            if job is None:
                return jobs, False
            jobs.append(job)
            if len(jobs) >= MOST_PER_COMMIT:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True

    def _commit(self, jobs: list[_Job]) -> None:
        jobs = [job for job in jobs if job[1].set_running_or_notify_cancel()]
        try:
            outcomes = self._outcomes(jobs)
        except Exception as error:  # noqa: BLE001 - the top of this thread: told to every waiting request, and logged
            log.error("the house could not write: %s", error)
            outcomes = [StorageFailure(str(error))] * len(jobs)
        for (_, result, _), outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                result.set_exception(outcome)
            else:
                result.set_result(outcome)

    def _outcomes(self, jobs: list[_Job]) -> list[Any]:
        own = dialect.of(self._engine)
        for tried in range(1, _MOST_TRIES + 1):
            try:
                with self._engine.begin() as connection:
                    own.lock(connection, {name for _, _, names in jobs for name in names})
                    return [_attempt(connection, change) for change, _, _ in jobs]
            except STORAGE_ERRORS as error:
                if tried == _MOST_TRIES or not own.is_transient(error):
                    raise
        raise AssertionError("unreachable")


def _attempt(connection: Connection, change: Change) -> Any:
    """What the change returned, or the exception that undid it. An error that undoes more than it goes to the top."""
    savepoint = connection.begin_nested()
    try:
        value = change(connection)
        savepoint.commit()
    except Refusal as refusal:
        savepoint.rollback()
        return refusal
    except STORAGE_ERRORS as error:
        told = dialect.of(connection).refusal_of(error)
        if told is None:
            raise
        savepoint.rollback()
        return told
    except Exception as error:
        savepoint.rollback()
        log.exception("a change failed")
        return error
    return value
