"""A way to a server that loses, slows, cuts and resets what goes over it, byte by byte; nothing of HTTP is known here."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Callable


@dataclass(frozen=True)
class Line:
    """What becomes of one connection. ``up``, ``down``: bytes to the server and back after which it ends, by a reset or a plain end;
    ``rate``: bytes a second, each way; ``drip``: replies come byte by byte, so many seconds apart; ``deaf``: nothing is answered."""

    up: int | None = None
    down: int | None = None
    reset: bool = True
    rate: float | None = None
    drip: float | None = None
    deaf: bool = False


CLEAR = Line()
_KEPT = 64 * 1024  # bytes of what was said last


class Wire:
    """``line(n)``: what the n-th connection, from 0, is to be like. ``told``: for each time that something was done to one, what had last
    been said on it to the server."""

    def __init__(self, upstream: str, line: Callable[[int], Line] = lambda n: CLEAR) -> None:
        self.line = line
        self.connections = 0
        self.told: Callable[[bytes], object] = lambda said: None
        self._bitten: set[int] = set()
        self._upstream = ("127.0.0.1", int(upstream.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def bites(self) -> int:
        """How many connections were really ended or slowed, or left without an answer to what they asked."""
        return len(self._bitten)

    def stop(self) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            connection = _Connection(client, self.line(number), self._stopped, partial(self._bite, number))
            threading.Thread(target=connection.serve, args=(self._upstream,), daemon=True).start()

    def _bite(self, number: int, said: bytes) -> None:
        self._bitten.add(number)
        self.told(said)


class _Connection:
    """One client's; ``bite`` is called when something was done to it, perhaps more than once."""

    def __init__(
        self, client: socket.socket, line: Line, stopped: threading.Event, bite: Callable[[bytes], object]
    ) -> None:
        self._client, self._line, self._stopped, self._bite_of = client, line, stopped, bite
        self._said = b""
        self._is_over = False

    def serve(self, upstream: tuple[str, int]) -> None:
        with self._client:
            if self._line.deaf:
                self._be_deaf()
                return
            try:
                server = socket.create_connection(upstream, timeout=60)
            except OSError:
                self._end(self._client)
                return
            with server:
                # closed once neither is read any more: a number that is free again is soon another connection's
                back = threading.Thread(
                    target=self._copy, args=(server, self._client, self._line.down, self._line.drip), daemon=True
                )
                back.start()
                self._copy(self._client, server, self._line.up, None)
                back.join(60)

    def _be_deaf(self) -> None:
        self._client.settimeout(60)
        try:
            if self._client.recv(1):
                self._bite()
                self._stopped.wait(60)
        except OSError:
            pass  # nothing was asked

    def _bite(self) -> None:
        with suppress(OSError):  # there is no more, or nobody there
            self._bite_of(self._said + self._client.recv(_KEPT, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            return
        self._bite_of(self._said)

    def _copy(self, source: socket.socket, target: socket.socket, most: int | None, drip: float | None) -> None:
        left, rate = most, self._line.rate
        try:
            while data := source.recv(1 if drip else 4096 if left is None else max(1, min(4096, left))):
                if source is self._client:
                    self._said = (self._said + data)[-_KEPT:]
                if drip or rate:
                    self._bite()
                    self._stopped.wait(drip or len(data) / (rate or 1))
                target.sendall(data)
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        self._bite()
                        self._end(source, target, reset=self._line.reset)
                        return
            if not self._is_over:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(source, target)

    def _end(self, *sockets: socket.socket, reset: bool = True) -> None:
        """Neither is read any more; the other side hears of it now, or, by a reset, when they are closed."""
        self._is_over = True
        for one in sockets:
            with suppress(OSError):  # it was closed from the other side
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)


@contextmanager
def wired(upstream: str, line: Callable[[int], Line] = lambda n: CLEAR) -> Iterator[Wire]:
    wire = Wire(upstream, line)
    try:
        yield wire
    finally:
        wire.stop()
