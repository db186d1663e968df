"""The soak's network: mostly well; some connections are slow, deaf, or end at byte N, some requests get an answer of somebody else's."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

from tests.support.proxy import Fault, cut, lost, page, reset, status
from tests.support.servers import Received
from tests.support.wire import CLEAR, Line
from tortures import own_network, ways

__all__ = ["PATIENCE", "Spells", "Weather"]

PATIENCE = "3"  # seconds that an agent waits for an answer
_OFTEN = 0.05  # of the requests; after each an agent rests for a moment, from all of them
_LINES = 0.2  # of the connections
# that a trace or run is gone is not for a network to say: the house does, of what is
_CODES = [code for code in ways.STATUSES if code not in (404, 410)]
# after these an agent rightly rests for longer than the soak can wait
_TOO_LONG = ("120", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT")
_RETRY_AFTER = [text for text in ways.RETRY_AFTER if text not in _TOO_LONG]
_BODIES = (b"{}", b"", b'{"error":"no"}', b"<html>no</html>", b"[]", b"\xff\xfe", b'{"reason":"in_flight"}')
# what an agent overcomes by itself, and soon
_PASSING: tuple[Fault, ...] = (
    lost,
    reset,
    cut(0),
    cut(30),
    cut(200),
    page(),
    status(503, b"busy", "Retry-After: 0"),
    status(500),
    status(429, b"{}", "Retry-After: 1"),
)
_KINDS: dict[str, Callable[[random.Random], Line]] = {
    "reset on the way up": lambda c: Line(up=c.randint(1, 6000)),
    "reset on the way down": lambda c: Line(down=c.randint(1, 2000)),
    "end on the way down": lambda c: Line(down=c.randint(1, 2000), reset=False),
    "128 kbit/s": lambda c: Line(rate=16_000.0),
    "slow drip": lambda c: Line(drip=0.01, down=c.randint(200, 1500)),
    "deaf": lambda c: Line(deaf=True),
}
# (percent of the packets that are lost, whether 128 kbit/s is all that there is), as in row 8p
_SPELLS = ((30, False), (0, True), (10, True))


class Weather:
    """``rule`` is a proxy's, of its requests; ``line`` a wire's, of its connections. ``met``: how many of what."""

    def __init__(self, chance: random.Random) -> None:
        self._is_over = False
        self.met: Counter[str] = Counter()
        self._of_requests = random.Random(chance.random())
        self._of_connections = random.Random(chance.random())
        self._of_spells = random.Random(chance.random())
        self._codes: list[int] = []
        self._flaps_until = 0.0
        self._period = 1.0

    @property
    def untried(self) -> list[str]:
        """The kinds that no connection was of."""
        return [kind for kind in _KINDS if not self.met[kind]]

    def flap(self) -> None:
        """There for a moment, gone for the next, for a while."""
        self._period = self._of_spells.uniform(0.05, 0.4)
        self._flaps_until = time.monotonic() + self._of_spells.uniform(0.5, 3.0)

    def clear_up(self) -> None:
        """From now on all is well, but for connections that are as they are."""
        self._is_over = True
        self._flaps_until = 0.0

    def rule(self, request: Received) -> Fault | None:
        chance = self._of_requests
        if self._is_over or chance.random() >= _OFTEN:
            return None
        if chance.random() < 0.5:
            return chance.choice(_PASSING)
        return self._answer(chance)

    def _answer(self, chance: random.Random) -> Fault:
        """Each status in turn."""
        if not self._codes:
            self._codes = chance.sample(_CODES, len(_CODES))
        code = self._codes.pop()
        self.met["statuses"] += 1
        headers = [f"Retry-After: {found}"] if (found := chance.choice(_RETRY_AFTER)) else []
        if 300 <= code < 400:
            headers.append("Location: http://127.0.0.1:9/elsewhere")
        return status(code, chance.choice(_BODIES), *(one.encode().decode("latin-1") for one in headers))

    def line(self, _number: int) -> Line:
        chance = self._of_connections
        if time.monotonic() < self._flaps_until and int(time.monotonic() / self._period) % 2:
            return Line(up=1)
        if self._is_over or chance.random() >= _LINES:
            return CLEAR
        [kind] = self.untried[:1] or [chance.choice(list(_KINDS))]
        self.met[kind] += 1
        return _KINDS[kind](chance)


class Spells:
    """For some blows the kernel loses packets to and from ``port``, or lets only few through."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lasts = False

    def begin(self, chance: random.Random, later: Callable[[int, Callable[[], None]], None]) -> bool:
        """``later``: have something done after so many blows."""
        if self._lasts:
            return False
        self._lasts = True
        percent, is_slow = chance.choice(_SPELLS)
        if is_slow:
            own_network.slow(self._port)
        if percent:
            own_network.lose(self._port, percent)
        later(chance.randint(5, 20), self._end)
        return True

    def _end(self) -> None:
        own_network.clear()
        self._lasts = False
