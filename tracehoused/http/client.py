"""HTTP: a request goes out, an answer comes back. Nothing else here knows httpx, and no network trouble is ever raised."""

from __future__ import annotations

import gzip
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, cast
from urllib.parse import urlencode

from tracehouse.exceptions import ArgumentError
from tracehouse.spool.keys import is_loopback, normalise_api_base
from tracehoused.exceptions import AddressError, BodyError, ConfigError, CredentialError
from tracehoused.http.capabilities import Capabilities, capabilities_of
from tracehoused.http.headers import FIXED, authorization, content_digest, headers_of, identity_headers
from tracehoused.http.lean import without
from tracehoused.http.network import Backend, Pace, connection_pool
from tracehoused.http.request import FileBody, Request, Upload
from tracehoused.http.retry import Answer, Verdict, judge
from tracehoused.text import printable

with without("trio", "rich"):  # another event loop, and httpx's own command: half the time that a sync takes to start
    import httpcore
    import httpx

__all__ = ["Capabilities", "Client", "Pace"]

LARGEST_REPLY = 1024 * 1024
WORTH_ZIPPING = 1024
_ASK_AGAIN = 3600.0
_DAMAGED = "content_digest"  # a house's reason for not taking a file
_CONNECT = 20.0
_TROUBLE = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,
)


class _Reply(httpx.SyncByteStream):
    """What the pool gives back, as httpx takes it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _Transport(httpx.BaseTransport):
    """Kept-alive connections to one server, by way of the proxy that the environment names for it."""

    def __init__(self, api_base: str, backend: Backend, ca_file: str | None) -> None:
        self._pool = connection_pool(api_base, backend, partial(_ssl_context, ca_file))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        core = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=cast(httpx.SyncByteStream, request.stream),
            extensions=request.extensions,
        )
        reply = self._pool.handle_request(core)
        return httpx.Response(reply.status, headers=reply.headers, stream=_Reply(reply.stream))

    def close(self) -> None:
        self._pool.close()


def _ssl_context(ca_file: str | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            message = f"ca_file: {ca_file!r} holds no certificates that can be read: {error}"
            raise ConfigError(message, name="ca_file", value=ca_file, source="") from error
    return context


class _Server:
    """What all clients of one server share: its connections, and what it can do."""

    def __init__(self, transport: httpx.BaseTransport, backend: Backend) -> None:
        self.transport = transport
        self.backend = backend
        self.lock = threading.Lock()
        self.capabilities: Capabilities | None = None
        self.asked_at = 0.0
        self.speaks = False  # it has accepted something, so that it is no captive portal


class Client:
    """Sends requests to one server as one machine. May be shared by threads, each of which gets a connection of its own.

    ``timeout``: seconds for each step, and for the reply as a whole; a body has as long as it needs at 2 KiB/s in addition.
    ``limit_rate``: bytes per second, or a ``Pace`` shared with other clients. ``ca_file``: PEM certificates to trust besides
    the usual. ``transport``: an ``httpx.BaseTransport`` in place of the network, for tests.
    Raises AddressError for an api_base that is none, CredentialError for a token no header can carry.
    """

    def __init__(
        self,
        api_base: str,
        *,
        token: str | None,
        machine_id: str,
        hostname: str | None = None,
        agent_version: str | None = None,
        timeout: float = 60.0,
        ca_file: str | None = None,
        limit_rate: float | Pace | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.api_base = _checked(api_base)
        pace = Pace(limit_rate) if isinstance(limit_rate, (int, float)) else limit_rate
        backend = Backend(pace)
        self._server = _Server(transport or _Transport(self.api_base, backend, ca_file), backend)
        self._timeout = timeout
        self._limits = {"connect": min(timeout, _CONNECT), "read": timeout, "write": timeout, "pool": timeout}
        self._token = _checked_token(token, self.api_base)
        self._identity = identity_headers(machine_id, hostname, agent_version)
        self._more: Callable[[], Sequence[tuple[str, str]]] = tuple
        self._heard: Callable[[Sequence[tuple[str, str]]], None] = lambda headers: None

    def speaking_for(
        self,
        *,
        machine_id: str,
        hostname: str | None = None,
        agent_version: str | None = None,
        headers: Callable[[], Sequence[tuple[str, str]]] = tuple,
        heard: Callable[[Sequence[tuple[str, str]]], None] = lambda headers: None,
    ) -> Client:
        """A client for another machine's sessions, with the same key and over the same connections. ``headers`` go with each request,
        and ``heard`` is called with them when it is answered."""
        other = object.__new__(Client)
        other.__dict__.update(self.__dict__)
        other._identity = identity_headers(machine_id, hostname, agent_version)
        other._more, other._heard = headers, heard
        return other

    def send(self, request: Request, meanwhile: Callable[[], bool] | None = None) -> Answer:
        """The answer to a request, which is RETRY where none came. BodyError for a file that cannot be sent.

        ``meanwhile()`` does a little of some other work, and says whether there was any: it is called until the answer comes.
        It raises nothing.
        """
        more = self._more()
        answer = self._send(request, [*self._identity, *authorization(self._token), *more], meanwhile)
        if answer.verdict is not Verdict.RETRY:
            self._heard(more)
        return answer

    def capabilities(self) -> Capabilities:
        """What the server can do beyond the base protocol; asked once an hour."""
        server = self._server
        with server.lock:
            if server.capabilities is None or time.monotonic() - server.asked_at > _ASK_AGAIN:
                found = self._ask()
                server.asked_at = time.monotonic()
                if not found.known:
                    return server.capabilities or found
                server.capabilities = found
            return server.capabilities

    def anonymous_session(self) -> Answer:
        """Ask for a public identity. ACCEPTED: ``body`` has ``token``, ``read_token``, ``claim_token``, ``web_url``."""
        return self._send(Request("POST", "/v1/anon/session", body=b"{}"), [])

    def close(self) -> None:
        """Close the connections, of all clients that share them."""
        self._server.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self) -> Capabilities:
        answer = self._send(Request("GET", "/v1/capabilities"), [*self._identity, *authorization(self._token)])
        if answer.verdict is Verdict.ACCEPTED and answer.body is not None:
            return capabilities_of(answer.body)
        # a site that answers any path with a page speaks the base protocol, once it is known to be the server at all
        page = answer.status is not None and 200 <= answer.status < 300 and self._server.speaks
        return Capabilities(known=page or answer.status in (400, 404, 405, 410, 501))

    def _send(
        self, request: Request, headers: list[tuple[str, str]], meanwhile: Callable[[], bool] | None = None
    ) -> Answer:
        upload = Upload(request.body, check=not self._checks_there) if isinstance(request.body, FileBody) else None
        self._server.backend.exchange.begin(request.size, self._timeout, meanwhile)
        try:
            response = self._server.transport.handle_request(self._build(request, headers, upload))
            try:
                body = _read(cast(httpx.SyncByteStream, response.stream))
            finally:
                response.close()
        except _TROUBLE as error:
            told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return Answer(Verdict.RETRY, None, None, self._hidden(printable(told)))
        finally:
            self._server.backend.exchange.meanwhile = None
            if upload is not None:
                upload.close()
        if body is None:
            return Answer(Verdict.RETRY, response.status_code, None, f"{response.status_code}: reply of over 1 MiB")
        answer = judge(response.status_code, response.headers, body, expect=request.expect, now=time.time())
        if answer.verdict is Verdict.ACCEPTED and request.method != "GET":
            self._server.speaks = True
        if isinstance(request.body, FileBody) and answer.body and answer.body.get("reason") == _DAMAGED:
            path = request.body.path
            raise BodyError(f"{path} does not hold what it should, or did not arrive as it was sent", path=path)
        return replace(answer, reason=self._hidden(answer.reason)) if answer.reason else answer

    @property
    def _checks_there(self) -> bool:
        """The server hashes what it keeps anyway: a file need not be hashed here besides."""
        known = self._server.capabilities
        return known is not None and known.content_digest

    def _hidden(self, reason: str) -> str:
        """A reason goes into logs and files, where no key may stand, though a server may send it back."""
        return reason.replace(self._token, "…") if self._token else reason

    def _build(self, request: Request, headers: list[tuple[str, str]], upload: Upload | None) -> httpx.Request:
        headers = [*FIXED, *headers, *headers_of(request)]
        url = self.api_base + request.path
        if request.query:
            url += "?" + urlencode(request.query, errors="surrogatepass")
        content = upload if isinstance(request.body, FileBody) else request.body
        if upload is not None:
            headers.append(("Content-Length", str(request.size)))
            if self._checks_there and isinstance(request.body, FileBody) and request.body.sha256 is not None:
                headers.append(("Content-Digest", content_digest(request.body.sha256)))
        elif isinstance(content, bytes) and self._zips(request, content):
            headers.append(("Content-Encoding", "gzip"))
            content = gzip.compress(content, 1, mtime=0)
        return httpx.Request(
            request.method,
            _url(url),
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers],
            content=content,
            extensions={"timeout": self._limits},
        )

    def _zips(self, request: Request, content: bytes) -> bool:
        known = self._server.capabilities
        worth = len(content) >= WORTH_ZIPPING and request.content_type == "application/json"
        return worth and known is not None and known.gzip and not is_loopback(self.api_base)


# most requests go to a few addresses, and parsing one costs a fifth of a request
_url = lru_cache(maxsize=256)(httpx.URL)


def _checked(api_base: str) -> str:
    try:
        known = normalise_api_base(api_base)
        httpx.URL(known)
    except (ArgumentError, httpx.InvalidURL, UnicodeError) as error:
        raise AddressError(f"{printable(api_base)!r} cannot be used as api_base: {error}", address=api_base) from error
    return known


def _checked_token(token: str | None, api_base: str) -> str | None:
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token and token):
        message = f"the key for {api_base} has characters that no key has"
        raise CredentialError(message, api_base=api_base, hint="log in again: tracehouse login")
    return token


def _read(stream: httpx.SyncByteStream) -> bytes | None:
    """All of a reply, or None if it is larger than any reply should be."""
    parts, size = [], 0
    for part in stream:
        size += len(part)
        if size > LARGEST_REPLY:
            return None
        parts.append(part)
    return b"".join(parts)
