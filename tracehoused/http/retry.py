"""What an answer means, how long to wait, and when to leave a destination alone. Pure: clock and chance are arguments.

=================  ============================================================================================
ACCEPTED           204, or a 2xx with the JSON object that was expected
RETRY              no answer, 408, 421, 425, 429, 5xx, no HTTP status at all, and any 2xx that is not ours: a captive portal's page
IN_FLIGHT          409 ``in_flight``: the same request is being handled; wait and repeat
OVERLAP            409 ``overlap``: part of it is known there; cut again around ``have``
KEY_REUSED         422 ``key_reused``: the key was used for something else; stop the session, and say so
REFUSED            400, 405, 413, 415, 422 and every other 4xx: about the content
UNAUTHORIZED       401: pause the destination
FORBIDDEN          402, 403: pause the session
MISSING            404: the server forgot
DELETED            410: deleted there
MISCONFIGURED      3xx, never followed; 407 and 426: about the way there, not about the content
=================  ============================================================================================
"""

from __future__ import annotations

import enum
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any

from tracehoused.text import printable

__all__ = ["Answer", "Backoff", "Breaker", "Verdict", "judge", "retry_after"]

LONGEST_RETRY_AFTER = 3600.0
MOST_OVERLAPS = 10_000

_SECONDS = re.compile(r"-?[0-9]+(\.[0-9]*)?")


class Verdict(enum.Enum):
    """What to do about an answer; the table is in the module's docstring."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    IN_FLIGHT = "in_flight"
    OVERLAP = "overlap"
    KEY_REUSED = "key_reused"
    REFUSED = "refused"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    DELETED = "deleted"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True)
class Answer:
    """A server's answer, or the lack of one (``status`` None).

    ``body``: the JSON object it brought, if any. ``reason``: one printable line. ``retry_after``: seconds that the server
    asked to wait at least, 0 to 3600. ``have``: with OVERLAP, the sequence numbers known there, as closed ranges, ascending.
    """

    verdict: Verdict
    status: int | None
    body: dict[str, Any] | None
    reason: str
    retry_after: float | None = None
    have: tuple[tuple[int, int], ...] = ()

    @property
    def outage(self) -> bool:
        """Whether the trouble is the destination's or the way's, whatever was sent: not so for a plain 500."""
        return self.verdict is Verdict.RETRY and self.status not in (500, 501, 505)


_BY_STATUS = {
    400: Verdict.REFUSED,
    401: Verdict.UNAUTHORIZED,
    402: Verdict.FORBIDDEN,
    403: Verdict.FORBIDDEN,
    404: Verdict.MISSING,
    407: Verdict.MISCONFIGURED,
    408: Verdict.RETRY,
    410: Verdict.DELETED,
    421: Verdict.RETRY,
    425: Verdict.RETRY,
    426: Verdict.MISCONFIGURED,
    429: Verdict.RETRY,
}


def judge(status: int, headers: Mapping[str, str], body: bytes, *, expect: str, now: float | None = None) -> Answer:
    """The answer that a response is, for any status and any body.

    ``expect``: which 2xx counts. "object": a JSON object, or 204. "object or nothing": that, or an empty body. "id": a JSON object
    whose ``id`` is a non-empty string.
    "metrics:<n>": one whose ``ingested`` and ``dropped`` add up to n, or 204. "any": whatever it brings.
    ``now``: seconds since the epoch, for a Retry-After that is a date, should the response not be dated itself.
    """
    found = _object(body)
    if 200 <= status < 300:
        bare = expect == "object or nothing" and not body
        wrong = "" if bare else _unexpected(status, found, expect)
        verdict, reason = (Verdict.RETRY, wrong) if wrong else (Verdict.ACCEPTED, "")
        return Answer(verdict, status, found, f"{status}: {reason}" if reason else "", retry_after(headers, now))
    verdict, have = _verdict(status, found or {})
    return Answer(verdict, status, found, _reason(status, headers, found, body), retry_after(headers, now), have)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unexpected(status: int, found: dict[str, Any] | None, expect: str) -> str:
    """Why a 2xx does not count; empty if it does."""
    kind, _, number = expect.partition(":")
    if kind not in ("object", "object or nothing", "id", "metrics", "any"):
        raise ValueError(f"expect must be object, object or nothing, id, metrics:<n> or any, got {expect!r}")
    if kind == "any" or (status == 204 and kind != "id"):
        return ""
    if found is None:
        return "the reply is not a JSON object; is something between here and the server answering in its place?"
    if kind == "id" and not (isinstance(found.get("id"), str) and found["id"]):
        return "the reply names no id"
    if kind == "metrics" and _points(found) != int(number):
        return f"of {number} points sent the reply accounts for {_points(found)}"
    return ""


def _points(found: dict[str, Any]) -> int | None:
    ingested, dropped = found.get("ingested"), found.get("dropped", 0)
    if type(ingested) is int and type(dropped) is int and min(ingested, dropped) >= 0:
        return ingested + dropped
    return None


def _verdict(status: int, found: dict[str, Any]) -> tuple[Verdict, tuple[tuple[int, int], ...]]:
    reason = found.get("reason")
    if status == 409 and reason == "in_flight":
        return Verdict.IN_FLIGHT, ()
    if status == 409 and reason == "overlap":
        have = _ranges(found.get("have"))
        return (Verdict.OVERLAP, have) if have else (Verdict.RETRY, ())
    if status == 422 and reason == "key_reused":
        return Verdict.KEY_REUSED, ()
    if status in _BY_STATUS:
        return _BY_STATUS[status], ()
    if 400 <= status < 500:
        return Verdict.REFUSED, ()
    return (Verdict.MISCONFIGURED if 300 <= status < 400 else Verdict.RETRY), ()


def _ranges(have: object) -> tuple[tuple[int, int], ...]:
    """Closed ranges, ascending; empty when any of it makes no sense, for a cut by half a list would be wrong."""
    if not isinstance(have, list) or len(have) > MOST_OVERLAPS:
        return ()
    ranges = []
    for pair in have:
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(end) is int for end in pair)):
            return ()
        if not 0 <= pair[0] <= pair[1]:
            return ()
        ranges.append((pair[0], pair[1]))
    return tuple(sorted(ranges))


def _reason(status: int, headers: Mapping[str, str], found: dict[str, Any] | None, body: bytes) -> str:
    if 300 <= status < 400:
        return f"{status}: redirected to {printable(_header(headers, 'location') or 'nowhere')}; check the api_base"
    told = [str(found[name]) for name in ("reason", "detail", "error", "message") if found and found.get(name)]
    text = ": ".join(told) if told else " ".join(body[:2000].decode("utf-8", "replace").split())
    return f"{status}: {printable(text)}" if text else str(status)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait at least, 0 to 3600, from Retry-After; None where it is missing or makes no sense.

    A date counts from the response's own Date, so that a clock that is off here does no harm.
    """
    text = (_header(headers, "retry-after") or "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return min(max(float(text), 0.0), LONGEST_RETRY_AFTER)
    until = _seconds(text)
    since = _seconds(_header(headers, "date") or "")
    since = now if since is None else since
    if until is None or since is None:
        return None
    return min(max(until - since, 0.0), LONGEST_RETRY_AFTER)


def _seconds(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, OSError):
        return None


class Backoff:
    """Decorrelated jitter: each wait is drawn between ``base`` and three times the last one, up to ``cap`` seconds."""

    def __init__(self, rng: Random, *, base: float = 0.5, cap: float = 300.0) -> None:
        self._rng = rng
        self._base = base
        self._cap = cap
        self._last = base

    def next(self, retry_after: float | None = None) -> float:
        """Seconds to wait; never less than ``retry_after``, and a little more, so that not all come back at once."""
        self._last = min(self._cap, self._rng.uniform(self._base, self._last * 3))
        if retry_after is None:
            return self._last
        return max(self._last, retry_after + self._rng.uniform(0, min(self._last, retry_after / 10)))

    def reset(self) -> None:
        """After a success: the next wait is a short one again."""
        self._last = self._base


# seconds
_BESIDE_PROBE = 5.0


class Breaker:
    """One destination's: after ``threshold`` failures in a row, or at its own request, nothing is sent there for a while.

    closed → open (a wait drawn as Backoff does) → half-open: one probe, whose outcome closes it or opens it for longer.
    ``now`` is monotonic, in seconds. A probe of which nothing is heard within ``probe_timeout`` is given up for lost.
    Failures that may be one record's fault (a plain 500) count once a ``source``: a poisoned batch alone opens nothing.
    """

    def __init__(
        self,
        rng: Random,
        *,
        threshold: int = 5,
        base: float = 1.0,
        cap: float = 300.0,
        probe_timeout: float = 900.0,
    ) -> None:
        self._backoff = Backoff(rng, base=base, cap=cap)
        self._threshold = threshold
        self._probe_timeout = probe_timeout
        self._lock = threading.Lock()
        self._outages = 0
        self._sources: set[str] = set()
        self._open_until: float | None = None
        self._probe_since: float | None = None

    def state(self, now: float) -> str:
        """ "closed", "open" or "half-open"."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def allow(self, now: float) -> bool:
        """Whether a request may go out now. In half-open the first to ask is the probe, and must report back."""
        with self._lock:
            state = self.state(now)
            if state != "half-open":
                return state == "closed"
            if self._probe_since is not None and now - self._probe_since < self._probe_timeout:
                return False
            self._probe_since = now
            return True

    def wait(self, now: float) -> float:
        """Seconds until it is worth asking again; 0 when closed or half-open without a probe. Beside a probe, which may take long, a
        few: who is told may be the one that asks for all, should the probe fail."""
        with self._lock:
            if self._open_until is None:
                return 0.0
            if self._probe_since is not None:
                return max(0.0, min(_BESIDE_PROBE, self._probe_since + self._probe_timeout - now))
            return max(0.0, self._open_until - now)

    def success(self) -> None:
        """An answer came: whatever it said, the destination is there."""
        with self._lock:
            self._outages = 0
            self._sources.clear()
            self._open_until = self._probe_since = None
            self._backoff.reset()

    def failure(self, now: float, *, outage: bool = True, source: str = "", retry_after: float | None = None) -> None:
        """A request failed by ``Answer.outage``, or by its own fault: then ``source`` names the batch."""
        with self._lock:
            if outage:
                self._outages += 1
            elif len(self._sources) < self._threshold:
                self._sources.add(source)
            probed, self._probe_since = self._probe_since is not None, None
            tripped = self._outages + len(self._sources) >= self._threshold or bool(retry_after)
            if probed or (self._open_until is None and tripped):
                self._open_until = now + self._backoff.next(retry_after)

    def release(self) -> None:
        """The request that was allowed never went out: another may be the probe."""
        with self._lock:
            self._probe_since = None
