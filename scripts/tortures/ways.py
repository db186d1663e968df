"""Bad ways from an agent to a house, by name."""

from __future__ import annotations

import math
import random
import socket
import time
from itertools import cycle
from typing import Callable

from tests.support.oracle import Item
from tests.support.proxy import Fault, Proxy, lost, page, reset, status
from tests.support.servers import Received
from tests.support.wire import CLEAR, Line, Wire

__all__ = ["CLEAR", "KINDS", "POISON", "RETRY_AFTER", "STATUSES", "is_poison", "of_status", "refusals"]

STATUSES = (
    *(300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413),
    *(414, 415, 417, 418, 421, 422, 423, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 507, 511),
)
RETRY_AFTER = (
    *("", "0", "1", "-1", "0.2", "120", "1e9", "9" * 400, "soon", "0x10", "1, 2", "\u0661", " 1 ", "+1"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 32 Oct 2015", "1 second"),
)
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
POISON = "a record that makes the server fail for ever"
_BAD = "a 901 "
_128_KBIT = 16_000.0

_Make = Callable[[str, random.Random, str], "Proxy | Wire"]


def refusals(turn: int) -> tuple[int, tuple[str, str]]:
    """A status, and two forms of Retry-After to go with it: of all such pairs each comes once before any comes again."""
    code, of_code = turn % len(STATUSES), turn // len(STATUSES)
    first, second = (RETRY_AFTER[(2 * (code + of_code) + n) % len(RETRY_AFTER)] for n in range(2))
    return STATUSES[code], (first, second)


def of_status(url: str, code: int, after: tuple[str, ...], chance: random.Random) -> Proxy:
    """An answer of somebody's own to some of the first requests, with each of these Retry-After in turn."""
    left, forms = chance.randint(len(after), 6), cycle(after)

    def rule(request: Received) -> Fault | None:
        nonlocal left
        if left and chance.random() < 0.5:
            left -= 1
            headers = [f"Retry-After: {found}"] if (found := next(forms)) else []
            if 300 <= code < 400:
                headers.append("Location: http://127.0.0.1:9/elsewhere")
            return status(code, chance.choice(_BODIES), *(one.encode().decode("latin-1") for one in headers))
        return None

    return Proxy(url, rule)


def is_poison(name: str, item: Item) -> bool:
    """The second span that a job of this name logs."""
    return item[:2] == ("span", f"{name}-chat") and str(item[2]).startswith(_BAD)


def _now_and_then(fault: Callable[[random.Random], Fault], often: float = 0.3) -> _Make:
    def make(url: str, chance: random.Random, _name: str) -> Proxy:
        return Proxy(url, lambda request: fault(chance) if chance.random() < often else None)

    return make


def _cut(chance: random.Random) -> Fault:
    """Applied, and some of the reply is missing, however long it is."""
    share = chance.random()

    def fault(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        answer = proxy.forward(request)
        connection.sendall(answer[: int(share * len(answer))])
        return False

    return fault


def _lines(line: Callable[[random.Random], Line], most: float = math.inf) -> _Make:
    """Such lines, until so many connections had to bear what they do."""

    def make(url: str, chance: random.Random, _name: str) -> Wire:
        wire = Wire(url)
        wire.line = lambda number: line(chance) if wire.bites < most else CLEAR
        return wire

    return make


def _portal(url: str, chance: random.Random, _name: str) -> Proxy:
    """Everybody sees the portal's page until somebody has logged in."""
    requests = iter(range(10**9))
    until = chance.randint(1, 12)
    return Proxy(url, lambda request: page() if next(requests) < until else None)


def _poisoned(url: str, _chance: random.Random, name: str) -> Proxy:
    session, bad = f'"{name}-chat"'.encode(), f'"{_BAD}'.encode()
    return Proxy(url, lambda request: status(500, b"oops") if session in request.body and bad in request.body else None)


def _flapping(url: str, chance: random.Random, _name: str) -> Wire:
    """There for a moment, gone for the next."""
    began, period = time.monotonic(), chance.uniform(0.05, 0.4)
    return Wire(url, lambda number: CLEAR if int((time.monotonic() - began) / period) % 2 else Line(up=1))


def _lossy(chance: random.Random) -> Line:
    """Three connections of ten are lost somewhere on their way."""
    if chance.random() >= 0.3:
        return CLEAR
    return chance.choice([Line(up=chance.randint(1, 8000)), Line(down=chance.randint(1, 3000)), Line(up=1)])


KINDS: dict[str, _Make] = {
    "applied, and the reply lost": _now_and_then(lambda chance: lost),
    "reset before it is applied": _now_and_then(lambda chance: reset),
    "reply cut": _now_and_then(_cut),
    "reset at byte N of a request": _lines(lambda chance: Line(up=chance.randint(1, 6000)), 6),
    "reset at byte N of a reply": _lines(lambda chance: Line(down=chance.randint(1, 2000)), 6),
    "end at byte N of a reply": _lines(lambda chance: Line(down=chance.randint(1, 2000), reset=False), 6),
    "30 % of connections lost": _lines(_lossy),
    "128 kbit/s": _lines(lambda chance: Line(rate=_128_KBIT)),
    "flapping": _flapping,
    "slow-loris server": _lines(lambda chance: Line(drip=0.4), 3),
    "no answer at all": _lines(lambda chance: Line(deaf=True), 3),
    "captive portal": _portal,
    POISON: _poisoned,
}
