"""File events as hints that a session may have something new. They may be missed: the agent's rescan finds everything anyway."""

from __future__ import annotations

import os
import queue

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from tracehouse.spool import layout

__all__ = ["Watcher"]


class _Handler(FileSystemEventHandler):
    def __init__(self, spool: str, hints: queue.SimpleQueue[str]) -> None:
        self._spool = spool
        self._hints = hints

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("opened", "closed_no_write"):
            return
        name, _, below = os.path.relpath(os.fsdecode(event.src_path), self._spool).partition(os.sep)
        if layout.is_session_dir(name) and not below.startswith(layout.UPLOAD):
            self._hints.put(os.path.join(self._spool, name))


class Watcher:
    """Watches spools. ``problem`` says why there are no file events, if so: then only a rescan finds things."""

    def __init__(self, spools: list[str]) -> None:
        self._spools = spools
        self._hints: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._observer: BaseObserver = Observer()
        self.problem = ""

    def start(self) -> None:
        try:
            for spool in self._spools:
                os.makedirs(spool, 0o700, exist_ok=True)
                self._observer.schedule(_Handler(spool, self._hints), spool, recursive=True)
            self._observer.start()
        except OSError as error:
            self.problem = f"no file events ({error.strerror or error}); polling instead"

    def stop(self) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(5)

    def wake(self) -> None:
        """End a ``wait``."""
        self._hints.put("")

    def wait(self, timeout: float) -> set[str]:
        """Sessions in which something happened: after the first hint, or after ``timeout`` seconds with none."""
        found = set()
        try:
            found.add(self._hints.get(timeout=max(0.0, timeout)))
            while True:
                found.add(self._hints.get_nowait())
        except queue.Empty:
            found.discard("")
            return found
