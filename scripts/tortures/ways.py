"""Bad ways from an agent to a house, by name. Each goes on until it has struck a request that carries records."""

from __future__ import annotations

import math
import random
import re
import socket
import time
from itertools import cycle
from typing import Callable

from tests.support.oracle import Item
from tests.support.proxy import Fault, Proxy, Rule, lost, page, reset, status
from tests.support.servers import Received
from tests.support.wire import CLEAR, Line, Wire

__all__ = [
    "ANY",
    "CLEAR",
    "KINDS",
    "LONG",
    "POISON",
    "RETRY_AFTER",
    "STATUSES",
    "carries",
    "is_heeded_long",
    "is_poison",
    "of_status",
    "refusals",
    "refuses",
    "said_records",
]

STATUSES = (
    *(300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413),
    *(414, 415, 417, 418, 421, 422, 423, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 507, 511),
)
RETRY_AFTER = (
    *("", "0", "1", "-1", "0.2", "120", "1e9", "9" * 400, "soon", "0x10", "1, 2", "\u0661", " 1 ", "+1"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 32 Oct 2015", "1 second"),
)
# after these an agent rightly rests for longer than a test can wait
LONG = ("120", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT")
# of the statuses below 500, those that say nothing of what was sent: of who sends it, of the way, or that it is to come again
_NOT_OF_CONTENT = (401, 402, 403, 407, 408, 421, 425, 426, 429)
# those that ask to come again, besides 5xx
_LATER = (408, 409, 421, 425, 429)
_RANGE = "X-Tracehouse-Range".lower()
_OF_REQUEST = re.compile(rb" HTTP/1\.1\r\n(?:(?! HTTP/1\.1\r\n).)*\Z", re.DOTALL)
_BODIES = (
    b"{}",
    b"",
    b'{"error":"no"}',
    b"<html>no</html>",
    b"[]",
    b"\xff\xfe",
    b'{"reason":"in_flight"}',
    b'{"reason":"overlap","have":[[1,2]]}',
    b'{"reason":"overlap","have":"all"}',
    b'{"ingested":0,"dropped":0}',
    b"[" * 5000,
)
ANY = "*"  # records, and nobody knows which
POISON = "a record that makes the server fail for ever"
_BAD = "a 901 "
_128_KBIT = 16_000.0
_DRIP = 0.4  # seconds from byte to byte
_SPARED = 2  # requests, or connections, that a fault lets pass at most before one with records is struck

# ``late``: not the first requests, but those that carry records
_Make = Callable[[str, random.Random, str, bool], "Proxy | Wire"]


def carries(request: Received) -> str:
    """Which records a request carries, if any: their session's uid/writer:first-last."""
    return request.headers.get(_RANGE, "")


def said_records(said: bytes) -> bool:
    """Whether the last request of what was said on a connection carries records."""
    last = _OF_REQUEST.search(said)
    return last is not None and _RANGE.encode() in last[0].lower()


def refuses(code: int | None) -> bool:
    """Whether a status is about what was sent, whose records are then no more to be sent by themselves."""
    return code is not None and 400 <= code < 500 and code not in _NOT_OF_CONTENT


def is_heeded_long(code: int, after: tuple[str, ...]) -> bool:
    """Whether an agent that was answered so rightly rests for longer than a test can wait; or for ever: what was deleted there is."""
    return code == 410 or ((code in _LATER or code >= 500) and any(form in LONG for form in after))


def refusals(turn: int) -> tuple[int, tuple[str, str]]:
    """A status, and two forms of Retry-After to go with it: of all such pairs each comes once before any comes again."""
    code, of_code = turn % len(STATUSES), turn // len(STATUSES)
    first, second = (RETRY_AFTER[(2 * (code + of_code) + n) % len(RETRY_AFTER)] for n in range(2))
    return STATUSES[code], (first, second)


def of_status(url: str, code: int, after: tuple[str, ...], chance: random.Random, late: bool) -> Proxy:
    """An answer of somebody's own to some requests, with each of these Retry-After in turn."""
    forms = cycle(after)

    def answer(chance: random.Random) -> Fault:
        headers = [f"Retry-After: {found}"] if (found := next(forms)) else []
        if 300 <= code < 400:
            headers.append("Location: http://127.0.0.1:9/elsewhere")
        return status(code, chance.choice(_BODIES), *(one.encode().decode("latin-1") for one in headers))

    # what is said to be deleted is not sent: where a creation heard that, no records come
    late = late or code == 410
    return Proxy(url, _some(answer, chance, late, often=0.5, most=chance.randint(len(after), 6)))


def _some(
    fault: Callable[[random.Random], Fault], chance: random.Random, late: bool, often: float, most: float = math.inf
) -> Rule:
    """So many requests meet with it, and of those that carry records the third at the latest."""
    struck = with_records = spared = 0

    def rule(request: Received) -> Fault | None:
        nonlocal struck, with_records, spared
        has_records = bool(carries(request))
        is_due = has_records and not with_records
        is_meant = (struck < most or is_due) and (has_records or not late)
        if not is_meant or (chance.random() >= often and not (is_due and spared == _SPARED)):
            spared += has_records
            return None
        struck, with_records = struck + 1, with_records + has_records
        return fault(chance)

    return rule


def is_poison(name: str, item: Item) -> bool:
    """The second span that a job of this name logs."""
    return item[:2] == ("span", f"{name}-chat") and str(item[2]).startswith(_BAD)


def _of_requests(fault: Callable[[random.Random], Fault], often: float = 0.3, most: float = math.inf) -> _Make:
    def make(url: str, chance: random.Random, _name: str, late: bool) -> Proxy:
        return Proxy(url, _some(fault, chance, late, often, most))

    return make


def _silent(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
    """Heard, and never answered."""
    proxy.stopped.wait(60)
    return False


def _dripping(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
    """Applied, and the reply comes byte by byte."""
    for byte in proxy.forward(request):
        connection.sendall(bytes([byte]))
        if proxy.stopped.wait(_DRIP):
            break
    return False


def _cut(chance: random.Random) -> Fault:
    """Applied, and some of the reply is missing, however long it is."""
    share = chance.random()

    def fault(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        answer = proxy.forward(request)
        connection.sendall(answer[: int(share * len(answer))])
        return False

    return fault


def _lines(line: Callable[[random.Random], Line], most: float = math.inf) -> _Make:
    """Such lines, until so many connections had to bear what they do, and one of them as it carried records: of those before that no more
    than a few in a row are spared."""

    def make(url: str, chance: random.Random, _name: str, _late: bool) -> Wire:
        wire, with_records, spared = Wire(url), False, 0

        def hear(said: bytes) -> None:
            nonlocal with_records
            with_records = with_records or said_records(said)

        def one(_number: int) -> Line:
            nonlocal spared
            if wire.bites >= most and with_records:
                return CLEAR
            found = line(chance)
            while found == CLEAR and spared == _SPARED and not with_records:
                found = line(chance)
            spared = spared + 1 if found == CLEAR else 0
            return found

        wire.line, wire.told = one, hear
        return wire

    return make


def _portal(url: str, chance: random.Random, _name: str, late: bool) -> Proxy:
    """Everybody sees the portal's page until somebody has logged in: from the first request on, and once more later, or, ``late``, only
    from one on that carries records."""
    since, left = chance.randint(1, _SPARED + 1) if late else 0, chance.randint(1, 12)
    seen = with_records = 0

    def rule(request: Received) -> Fault | None:
        nonlocal seen, left, with_records
        has_records = bool(carries(request))
        seen += has_records
        if seen < since or (not left and (with_records or not has_records)):
            return None
        left, with_records = max(0, left - 1), with_records + has_records
        return page()

    return Proxy(url, rule)


def _poisoned(url: str, _chance: random.Random, name: str, _late: bool) -> Proxy:
    session, bad = f'"{name}-chat"'.encode(), f'"{_BAD}'.encode()
    return Proxy(url, lambda request: status(500, b"oops") if session in request.body and bad in request.body else None)


def _flapping(url: str, chance: random.Random, _name: str, late: bool) -> Proxy:
    """Gone for a moment, there for the next; gone, too, as the first request with records comes: ``late``, from then on only."""
    period = chance.uniform(0.05, 0.4)
    began = math.inf if late else time.monotonic()
    had_records = False

    def rule(request: Received) -> Fault | None:
        nonlocal began, had_records
        if carries(request) and not had_records:
            began, had_records = time.monotonic(), True
        since = time.monotonic() - began
        return reset if since >= 0 and int(since / period) % 2 == 0 else None

    return Proxy(url, rule)


def _lossy(chance: random.Random) -> Line:
    """Three connections of ten are lost somewhere on their way."""
    if chance.random() >= 0.3:
        return CLEAR
    return chance.choice([Line(up=chance.randint(1, 8000)), Line(down=chance.randint(1, 3000)), Line(up=1)])


KINDS: dict[str, _Make] = {
    "applied, and the reply lost": _of_requests(lambda chance: lost),
    "reset before it is applied": _of_requests(lambda chance: reset),
    "reply cut": _of_requests(_cut),
    "reset at byte N of a request": _lines(lambda chance: Line(up=chance.randint(1, 6000)), 6),
    "reset at byte N of a reply": _lines(lambda chance: Line(down=chance.randint(1, 2000)), 6),
    "end at byte N of a reply": _lines(lambda chance: Line(down=chance.randint(1, 2000), reset=False), 6),
    "30 % of connections lost": _lines(_lossy),
    "128 kbit/s": _lines(lambda chance: Line(rate=_128_KBIT)),
    "flapping": _flapping,
    "slow-loris server": _of_requests(lambda chance: _dripping, 1.0, 3),
    "no answer at all": _of_requests(lambda chance: _silent, 1.0, 3),
    "captive portal": _portal,
    POISON: _poisoned,
}
