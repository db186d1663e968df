"""One process that serves a house: its data directory, its port, its signals."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from tracehoused.house.alone import alone_on
from tracehoused.house.app import create_app
from tracehoused.house.auth import KEY_FILE, Auth, own_key
from tracehoused.house.directories import make_lasting
from tracehoused.house.mediastore import open_media
from tracehoused.house.state import Options
from tracehoused.house.store import removals
from tracehoused.house.store.dialect import DatabaseError, database_url
from tracehoused.house.store.store import Store

_ANY = frozenset({"0.0.0.0", "::", ""})


class PortInUse(Exception):
    """Another program listens on this port."""


@dataclass(frozen=True)
class Settings:
    """`database` and `media`: URLs; None keeps them in the directory `data`, which has the house's key in any case."""

    host: str
    port: int
    data: Path
    options: Options
    database: str | None = None
    media: str | None = None


@dataclass(frozen=True)
class Opened:
    """A house about to listen. `new_key` is the key, if it was made just now, and None otherwise; `new_link` makes another
    address that signs a browser in, once."""

    url: str
    key_file: Path
    new_key: str | None
    new_link: Callable[[], str]


class _Server(uvicorn.Server):
    """Tells when requests are really answered, and what goes on for ever that it is to end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortInUse, or OSError for an address that is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full, because asyncio sends small answers at once (TCP_NODELAY) only where it sees the protocol.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _keep_alive(bound)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"port {port} is in use on {host}") from None
        raise
    return bound


def _keep_alive(bound: socket.socket) -> None:
    """What it accepts ends within two minutes once there is nobody at the other end: whoever waits to be sent something never notices."""
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS has the first under another name
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def run(settings: Settings, ready: Callable[[Opened], None], ending: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish. `ready` is called once, when it answers, `ending`
    when it is told to end.

    Raises PortInUse, DataInUse where another house runs on this data, DatabaseError, MediaError, StorageFailure, and OSError
    for an address that is not ours.
    """
    if settings.database is not None and database_url(settings.database).drivername == "sqlite":
        raise DatabaseError("a house on SQLite keeps its database in its --data directory, and takes no --database")
    bound = listen(settings.host, settings.port)
    # Who decodes a request keeps the writer, which lets others in at every statement, waiting for 5 ms a turn by default.
    sys.setswitchinterval(0.0005)
    # The server takes these signals while it runs and raises them again when it is done: then this is a clean end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    os.umask(0o077)
    make_lasting(settings.data)
    with closing(bound), nullcontext() if settings.database else alone_on(settings.data):
        _serve(settings, bound, ready, ending)


def _serve(
    settings: Settings, bound: socket.socket, ready: Callable[[Opened], None], ending: Callable[[], None]
) -> None:
    key, is_new = own_key(settings.data)
    media = open_media(settings.media, settings.data / "media")
    store = Store(settings.database or f"sqlite:///{settings.data / 'house.db'}")
    try:
        auth = Auth(store, key)
        if store.own_file:
            auth.forget_codes(everyones=True)
            store.write(removals.forget_going).result()
        else:
            auth.share_own_key(f"{KEY_FILE} of {socket.gethostname()}", settings.data)
        app = create_app(store, media, auth, _with_own_host(settings))
        url = _url(settings.host, bound.getsockname()[1])

        def new_link() -> str:
            return f"{url}/signin/{auth.new_code()}"

        def end() -> None:
            ending()
            app.state.house.closing.set()

        opened = Opened(url, settings.data / KEY_FILE, key if is_new else None, new_link)
        config = uvicorn.Config(
            app,
            # its own set-up looks for a terminal at stdout, which may be closed; warnings go to stderr, or where a log was begun
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            # Captions and keys of media travel in the address.
            h11_max_incomplete_event_size=256 * 1024,
            timeout_graceful_shutdown=10,
        )
        with closing(app.state.house):
            app.state.house.purger.start()
            _Server(config, lambda: ready(opened), end).run(sockets=[bound])
    finally:
        store.close()


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _with_own_host(settings: Settings) -> Options:
    if settings.host in _ANY:
        return settings.options
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    options = settings.options
    return replace(options, hosts=options.hosts | {own})


def _url(host: str, port: int) -> str:
    name = "127.0.0.1" if host in _ANY else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"
