"""Times as they are written: UTC, ISO 8601, microseconds, ``Z``. Durations come from the monotonic clock."""

from __future__ import annotations

from time import gmtime, monotonic_ns, time_ns

_SECOND = 1_000_000_000

# (nanoseconds at which a second begins, its text): replaced whole, so that threads see the one or the other
_latest = (-_SECOND, "")


def _text_of(second: int) -> str:
    t = gmtime(second)
    return f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}."


def now() -> str:
    """The time now, as ``2026-11-22T22:45:35.890553Z``."""
    global _latest
    ns = time_ns()
    begins, text = _latest
    past = ns - begins
    if not 0 <= past < _SECOND:
        second, past = divmod(ns, _SECOND)
        text = _text_of(second)
        _latest = (ns - past, text)
    return f"{text}{past // 1000:06d}Z"


def iso(ns: int) -> str:
    """Nanoseconds since 1970 (UTC) in the same form."""
    second, rest = divmod(ns, _SECOND)
    return f"{_text_of(second)}{rest // 1000:06d}Z"


class Stopwatch:
    """Begins now. ``start_at`` is the wall clock's; ``end_at`` never lies before it, whatever is done to the clock."""

    __slots__ = ("_began", "_wall")

    def __init__(self) -> None:
        self._wall = time_ns()
        self._began = monotonic_ns()

    @property
    def start_at(self) -> str:
        return iso(self._wall)

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return (monotonic_ns() - self._began) / _SECOND

    def end_at(self) -> str:
        """The beginning plus what has gone by since then."""
        return iso(self._wall + monotonic_ns() - self._began)
