"""A way to a server that loses, slows, cuts and resets what goes over it, byte by byte; nothing of HTTP is known here."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


class Wire:
    """``line(n)``: what the n-th connection, from 0, is to be like."""

    def __init__(self, upstream: str, line: Callable[[int], Line] = lambda n: CLEAR) -> None:
        self.line = line
        self.connections = 0
        self._upstream = ("127.0.0.1", int(upstream.rpartition(":")[2]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

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
            line, self.connections = self.line(self.connections), self.connections + 1
            threading.Thread(target=self._serve, args=(client, line), daemon=True).start()

    def _serve(self, client: socket.socket, line: Line) -> None:
        if line.deaf:
            with client:
                self._stopped.wait(60)
            return
        try:
            server = socket.create_connection(self._upstream, timeout=60)
        except OSError:
            _end(client, reset=True)
            return
        back = threading.Thread(target=self._copy, args=(server, client, line, line.down, line.drip), daemon=True)
        back.start()
        self._copy(client, server, line, line.up, None)
        back.join(60)
        client.close()
        server.close()

    def _copy(
        self, source: socket.socket, target: socket.socket, line: Line, most: int | None, drip: float | None
    ) -> None:
        left = most
        try:
            while data := source.recv(1 if drip else 4096 if left is None else max(1, min(4096, left))):
                target.sendall(data)
                if drip or line.rate:
                    self._stopped.wait(drip or len(data) / (line.rate or 1))
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        _end(source, reset=line.reset)
                        _end(target, reset=line.reset)
                        return
            target.shutdown(socket.SHUT_WR)
        except OSError:
            _end(source, reset=True)
            _end(target, reset=True)


def _end(connection: socket.socket, *, reset: bool) -> None:
    try:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        else:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was closed from the other side


@contextmanager
def wired(upstream: str, line: Callable[[int], Line] = lambda n: CLEAR) -> Iterator[Wire]:
    wire = Wire(upstream, line)
    try:
        yield wire
    finally:
        wire.stop()
