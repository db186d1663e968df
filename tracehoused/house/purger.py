"""A thread that sees to it that what was deleted goes, once that cannot be undone any more."""

from __future__ import annotations

import logging
import threading
import time

from tracehoused.house.errors import StorageFailure
from tracehoused.house.store.purging import Files, purge
from tracehoused.house.store.store import Store

log = logging.getLogger("tracehouse.house")
_EVERY_S = 600.0
_FIRST_S = 5.0
# A clock may be wrong when the machine has just started, until it is set: its word alone destroys nothing.
_EVEN_S = 3600.0
_UNEVEN_S = 60.0


class Purger:
    """Looks every ten minutes, and when it is told to; what goes by its age goes once the clock has run evenly for an hour.
    `close` waits for the step that is under way."""

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files
        self._wake = threading.Event()
        self._closed = False
        self._even_since = self._clocks()
        self._thread = threading.Thread(target=self._run, name="house-purger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look_now(self) -> None:
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _clocks(self) -> tuple[float, float]:
        return self._store.now_us() / 1_000_000, time.monotonic()

    def _is_even(self) -> bool:
        """Whether nobody has set the clock for so long that it can be believed."""
        now, since = self._clocks(), self._even_since
        if abs((now[0] - since[0]) - (now[1] - since[1])) > _UNEVEN_S:
            self._even_since = now
            return False
        return now[1] - since[1] >= _EVEN_S

    def _run(self) -> None:
        self._wake.wait(_FIRST_S)
        while True:
            self._wake.clear()  # before the test: `close` may come between the two
            if self._closed:
                return
            try:
                purge(self._store, self._files, lambda: self._closed, aged=self._is_even())
            except (OSError, StorageFailure) as error:
                log.warning("what was deleted could not be removed, it is tried again: %s", error)
            except Exception:  # the top of this thread
                log.exception("what was deleted could not be removed, it is tried again")
            self._wake.wait(_EVERY_S)
