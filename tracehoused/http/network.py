"""Sockets with a deadline and a speed limit, for the HTTP client.

A timeout for each read is no bound: a server that sends a byte now and then would hold a connection for days. So each
exchange has a deadline for sending, which grows with what is sent, and one for the reply, which starts when all is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, cast
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from tracehouse.spool.keys import is_loopback
from tracehoused.exceptions import ConfigError
from tracehoused.http.lean import without

with without("trio"):
    import httpcore

if TYPE_CHECKING:
    import ssl

__all__ = ["Backend", "Exchange", "Pace", "connection_pool"]

SLOWEST = 2048.0  # bytes per second: a link below this is as good as none
_WRITE = 512 * 1024
_PACES = 10  # parts per second under a speed limit


class Pace:
    """At most ``rate`` bytes per second, over all threads that share it."""

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not rate > 0:
            raise ValueError(f"a speed limit is a number of bytes per second above 0, got {rate!r}")
        self.rate = float(rate)
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        self._lock = threading.Lock()

    @property
    def part(self) -> int:
        """Bytes to send at a time."""
        return max(1, min(_WRITE, int(self.rate / _PACES)))

    def take(self, size: int) -> float:
        """Wait until ``size`` more bytes may go out; for how many seconds that was."""
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now)
            wait = self._free_at - now
            self._free_at += size / self.rate
        if wait > 0:
            self._sleep(wait)
        return wait


class Exchange(threading.local):
    """The request and reply that this thread is at."""

    send_by = float("inf")
    reply_by: float | None = None
    patience = float("inf")
    meanwhile: Callable[[], bool] | None = None

    def begin(self, size: int, patience: float, meanwhile: Callable[[], bool] | None = None) -> None:
        """A request with ``size`` bytes of body begins; ``patience`` seconds are for the reply, ``meanwhile`` is called again and again
        until that comes, or it returns False."""
        self.meanwhile = meanwhile
        self.patience = patience
        self.send_by = time.monotonic() + patience + size / SLOWEST
        self.reply_by = None

    def left_to_send(self, timeout: float | None) -> float:
        """Seconds a write may take. TimeoutError when none are left."""
        self.reply_by = None
        return self._left(self.send_by, timeout, httpcore.WriteTimeout)

    def left_to_read(self, timeout: float | None) -> float:
        """Seconds a read may take. TimeoutError when none are left."""
        if self.reply_by is None:
            self.reply_by = time.monotonic() + self.patience
        return self._left(self.reply_by, timeout, httpcore.ReadTimeout)

    def work(self, stream: httpcore.NetworkStream) -> None:
        """Have ``meanwhile`` done as long as there is nothing to read."""
        while self.meanwhile is not None and not stream.get_extra_info("is_readable"):
            if not self.meanwhile():
                self.meanwhile = None

    @staticmethod
    def _left(until: float, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
        left = until - time.monotonic()
        if left <= 0:
            raise late("too slow: the time for the whole exchange is up")
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, exchange: Exchange, pace: Pace | None) -> None:
        self._inner = inner
        self._exchange = exchange
        self._pace = pace

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._exchange.work(self._inner)
        return self._inner.read(max_bytes, self._exchange.left_to_read(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # a view: the stream below cuts off what it has sent, which would copy the rest each time
        view = memoryview(buffer)
        part = self._pace.part if self._pace else _WRITE
        for start in range(0, len(view), part):
            piece = view[start : start + part]
            if self._pace:
                # our own wait, which is the longer the more share the pace, tells nothing of the link
                self._exchange.send_by += self._pace.take(len(piece))
            self._inner.write(cast(bytes, piece), self._exchange.left_to_send(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        left = self._exchange.left_to_read(timeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._exchange, self._pace)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.NetworkBackend):
    """Connections that keep to the deadlines of ``exchange`` and to ``pace``."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.exchange = Exchange()
        self.pace = pace
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._sockets.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self.exchange, self.pace)

    def sleep(self, seconds: float) -> None:
        self._sockets.sleep(seconds)


def connection_pool(
    api_base: str, backend: httpcore.NetworkBackend, ssl_context: Callable[[], ssl.SSLContext]
) -> httpcore.ConnectionPool:
    """Kept-alive connections to an api_base, by way of the proxy that the environment names for it.

    ``ssl_context`` is called only where TLS is spoken. ConfigError for a proxy that cannot be used.
    """
    proxy = proxy_for(api_base)
    secure = api_base.startswith("https:") or (proxy is not None and proxy.scheme == "https")
    options: dict[str, Any] = {
        "max_connections": None,
        "keepalive_expiry": 60.0,
        "network_backend": backend,
        "ssl_context": ssl_context() if secure else None,
    }
    if proxy is None:
        return httpcore.ConnectionPool(**options)
    return _proxied(proxy, options)


def proxy_for(api_base: str) -> SplitResult | None:
    """By HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, but for loopback and the hosts of NO_PROXY."""
    url = urlsplit(api_base)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or is_loopback(api_base) or proxy_bypass(url.netloc):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _proxied(proxy: SplitResult, options: dict[str, Any]) -> httpcore.ConnectionPool:
    auth = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None
    plain = f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"
    try:
        if proxy.scheme in ("socks5", "socks5h"):
            return httpcore.SOCKSProxy(proxy_url=plain, proxy_auth=auth, **options)
        if proxy.scheme in ("http", "https"):
            return httpcore.HTTPProxy(proxy_url=plain, proxy_auth=auth, **options)
    except (RuntimeError, ImportError, ValueError) as error:
        raise _unusable(plain, str(error)) from error
    raise _unusable(plain, "its scheme should be http, https, socks5 or socks5h")


def _unusable(proxy: str, why: str) -> ConfigError:
    return ConfigError(f"cannot use the proxy {proxy}: {why}", name="proxy", value=proxy, source="environment")
