"""A thread that sees to it that what was deleted goes, once that cannot be undone any more."""

from __future__ import annotations

import logging
import threading

from tracehoused.house.errors import StorageFailure
from tracehoused.house.store.purging import Files, purge
from tracehoused.house.store.store import Store

log = logging.getLogger("tracehouse.house")
_EVERY_S = 600.0
_FIRST_S = 5.0


class Purger:
    """Looks every ten minutes, and when it is told to. `close` waits for the step that is under way."""

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files
        self._wake = threading.Event()
        self._closed = False
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

    def _run(self) -> None:
        self._wake.wait(_FIRST_S)
        while not self._closed:
            self._wake.clear()
            try:
                purge(self._store, self._files, lambda: self._closed)
            except (OSError, StorageFailure) as error:
                log.warning("what was deleted could not be removed, it is tried again: %s", error)
            self._wake.wait(_EVERY_S)
