"""A real server on a real socket that does what a test tells it to, well or badly."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


# what to do with a request on its connection; True keeps the connection
Behaviour = Callable[[socket.socket, Received], bool]


def reply(status: int, body: bytes = b"{}", *headers: str) -> Behaviour:
    """A well-formed answer, on a connection that stays."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]

    def behave(connection: socket.socket, _: Received) -> bool:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if status == 204 else body))
        return True

    return behave


def raw(data: bytes) -> Behaviour:
    """These bytes, and the connection is closed."""

    def behave(connection: socket.socket, _: Received) -> bool:
        connection.sendall(data)
        return False

    return behave


@dataclass
class Server:
    """Behaves by its script, one entry a request, the last for all that follow."""

    script: list[Behaviour]
    host: str = "127.0.0.1"
    read_bodies: bool = True
    tls: ssl.SSLContext | None = None
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family)
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"{'https' if self.tls else 'http'}://{host}:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        for sock in (self._listener, *self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was closed from the other side
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        if self.tls is not None:
            try:
                connection = self.tls.wrap_socket(connection, server_side=True)
            except OSError:
                return  # the client does not trust it
            self._open.append(connection)
        with connection, connection.makefile("rb") as file:
            try:
                while True:
                    request = self._read(file)
                    if request is None:
                        return
                    self.received.append(request)
                    behave = self.script[min(len(self.received), len(self.script)) - 1]
                    if not behave(connection, request):
                        return
            except OSError:
                return

    def _read(self, file: socket.SocketIO) -> Received | None:
        first = file.readline()
        if not first:
            return None
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers = {}
        for line in iter(file.readline, b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", 0)) if self.read_bodies else 0
        body = file.read(size) or b""
        return Received(method, target, headers, body) if len(body) == size else None


@contextmanager
def serving(
    *script: Behaviour, host: str = "127.0.0.1", read_bodies: bool = True, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    server = Server(list(script), host=host, read_bodies=read_bodies, tls=tls)
    try:
        yield server
    finally:
        server.stop()
