"""How a sync goes: one line that is redrawn on a terminal, plain lines now and then otherwise."""

from __future__ import annotations

import sys
import threading
import time

__all__ = ["Progress", "human"]

_REDRAW = 0.1
_PLAIN = 10.0
_WIDTH = 24


def human(size: float) -> str:
    """Bytes for people: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


class Progress:
    """Counts from several threads. ``total`` bytes may be off (a live job writes on): the bar never goes beyond full."""

    def __init__(self, total: int, sessions: int, *, quiet: bool) -> None:
        self._total, self._sessions = total, sessions
        self._quiet = quiet
        self._tty = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._drawn = self._began
        self.records = self.bytes = self.sessions_done = 0

    def sent(self, records: int, size: int) -> None:
        with self._lock:
            self.records += records
            self.bytes += size
            self._draw()

    def session_done(self) -> None:
        with self._lock:
            self.sessions_done += 1
            self._draw()

    def finish(self) -> None:
        with self._lock:
            self._draw(last=True)
            if self._tty and not self._quiet:
                sys.stderr.write("\n")

    def _draw(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._quiet or (not last and now - self._drawn < (_REDRAW if self._tty else _PLAIN)):
            return
        if last and not self._tty:
            return
        self._drawn = now
        rate = self.bytes / max(now - self._began, 0.001)
        text = (
            f"{self.records:,} records  {human(self.bytes)}  {human(rate)}/s  "
            f"{self.sessions_done}/{self._sessions} sessions"
        )
        if self._tty:
            part = 1.0 if last else min(1.0, self.bytes / max(self._total, 1))
            bar = "#" * int(part * _WIDTH)
            sys.stderr.write(f"\r[{bar:<{_WIDTH}}] {text}\x1b[K")
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
