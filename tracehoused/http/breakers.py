"""What is left alone for a while: a server that does not answer, and a key that it does not take, for that key's sessions only."""

from __future__ import annotations

import threading
import time
from random import Random

from tracehoused.http.retry import Breaker

__all__ = ["KEY", "SERVER", "Breakers"]

SERVER, KEY = "destination", "identity"


class Breakers:
    """By api_base and, within it, by what acknowledgements are kept under. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}
        self._reasons: dict[str, str] = {}

    def refusal(self, api_base: str, destination: str) -> tuple[str, float, str] | None:
        """None: go ahead, and ``note`` or ``release`` it. Else what is left alone ("destination" or "identity"), for how many seconds, and
        what it said last."""
        now = time.monotonic()
        server, key = self._of(api_base), self._of(destination)
        if not server.allow(now):
            return SERVER, server.wait(now), self._reasons.get(api_base, "")
        if not key.allow(now):
            server.release()
            return KEY, key.wait(now), self._reasons.get(destination, "")
        return None

    def note(self, api_base: str, destination: str, scope: str, retry_after: float | None, reason: str = "") -> None:
        """How a pass ended: ``scope`` says whose trouble it was, if any."""
        now = time.monotonic()
        if scope in (SERVER, KEY):
            self._reasons[api_base if scope == SERVER else destination] = reason
        server, key = self._of(api_base), self._of(destination)
        if scope == SERVER:
            server.failure(now, retry_after=retry_after)
            key.release()
            return
        server.success()
        if scope == KEY:
            key.failure(now, retry_after=retry_after)
        else:
            key.success()

    def release(self, api_base: str, destination: str) -> None:
        """The pass ended before anything was heard, or had nothing to ask."""
        self._of(api_base).release()
        self._of(destination).release()

    def _of(self, name: str) -> Breaker:
        with self._lock:
            if name not in self._breakers:
                self._breakers[name] = Breaker(Random())
            return self._breakers[name]
