"""A server that stands between an agent and a house, and misbehaves where a test tells it to."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

from tests.support.servers import Behaviour, Received, Server, reply

# what becomes of a request: None lets it through
Rule = Callable[[Received], "Fault | None"]
Fault = Callable[["Proxy", socket.socket, Received], bool]


class Proxy:
    """Hands every request to ``upstream`` (an api_base) and its reply back, but for those that ``rule`` has a fault for.

    ``plain``: what stands there knows the base protocol only, no keys and no ranges.
    """

    def __init__(self, upstream: str, rule: Rule | None = None, *, plain: bool = False) -> None:
        self.upstream = upstream
        self._plain = plain
        self.rule: Rule = rule or (lambda request: None)
        self._lock = threading.Lock()
        self._server = Server([self._behave])
        self.url = self._server.url

    @property
    def received(self) -> list[Received]:
        return self._server.received

    @property
    def stopped(self) -> threading.Event:
        return self._server.stopped

    def stop(self) -> None:
        self._server.stop()

    def _behave(self, connection: socket.socket, request: Received) -> bool:
        with self._lock:
            fault = self.rule(request)
        if fault is None and self._plain and request.target == "/v1/capabilities":
            fault = status(404)
        if fault is not None:
            return fault(self, connection, request)
        connection.sendall(self.forward(request))
        return True

    def forward(self, request: Received) -> bytes:
        """Have the house do it; its reply, as it goes over the wire."""
        upstream = http.client.HTTPConnection(self.upstream.partition("://")[2], timeout=60)
        try:
            dropped = ("host", "connection", *(_OURS if self._plain else ()))
            headers = {name: value for name, value in request.headers.items() if name not in dropped}
            upstream.request(request.method, request.target, request.body or None, headers)
            answer = upstream.getresponse()
            body = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError("the house ended amid its answer") from error  # so does the client's connection
        finally:
            upstream.close()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() in _KEPT]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if answer.status == 204 else body)


_OURS = ("idempotency-key", "x-tracehouse-range", "x-tracehouse-attempt")
_KEPT = ("content-type", "retry-after", "idempotency-replayed", "location")


def status(code: int, body: bytes = b"{}", *headers: str) -> Fault:
    """An answer of the proxy's own; the house hears nothing."""
    behaviour: Behaviour = reply(code, body, *headers)
    return lambda proxy, connection, request: behaviour(connection, request)


def page() -> Fault:
    """A captive portal's: a 200 that is a page."""
    return status(200, b"<html><body>Please log in to the airport's network</body></html>", "Content-Type: text/html")


def lost(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
    """Applied, and the reply never arrives."""
    proxy.forward(request)
    return False


def cut(at: int) -> Fault:
    """Applied, and the reply ends after so many bytes."""

    def fault(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        connection.sendall(proxy.forward(request)[:at])
        return False

    return fault


def reset(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
    """Not applied: the connection is reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def held(until: threading.Event, then: Fault | None = None) -> Fault:
    """Applied; the reply waits for an event."""

    def fault(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        answer = proxy.forward(request)
        until.wait(60)
        if then is not None:
            return then(proxy, connection, request)
        connection.sendall(answer)
        return True

    return fault


@contextmanager
def proxied(upstream: str, rule: Rule | None = None, *, plain: bool = False) -> Iterator[Proxy]:
    proxy = Proxy(upstream, rule, plain=plain)
    try:
        yield proxy
    finally:
        proxy.stop()
