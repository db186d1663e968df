"""What every request handler needs, and the keys of requests that are being handled now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from starlette.requests import Request

from tracehoused.house.agents import Agents
from tracehoused.house.auth import Auth
from tracehoused.house.errors import Refusal, StorageFailure
from tracehoused.house.mediastore import Media
from tracehoused.house.purger import Purger
from tracehoused.house.shares import Shares
from tracehoused.house.store.gallery import media_used
from tracehoused.house.store.store import Store

log = logging.getLogger("tracehouse.house")
_Key = tuple[str, str]  # identity, key
# No sender waits longer for an answer than that.
_LONGEST_TURN_S = 120.0


class Turn:
    """A request's place behind the one that it names, where that began before it: so none waits for one that waits for it."""

    def __init__(self, handled: set[_Key], key: _Key | None, before: asyncio.Event | None) -> None:
        self.ours = asyncio.Event()
        self._handled = handled
        self._key = key
        self._before = before
        self._taken = False

    async def come(self) -> None:
        """Wait until that one is on its way to the database, or has ended, or does not get here: what the database says then."""
        if self._before is not None and not self._before.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._before.wait(), _LONGEST_TURN_S)

    def take(self) -> None:
        """From now on this is the one with its key that is handled. Refusal 409 where another is."""
        if self._key is not None:
            if self._key in self._handled:
                raise Refusal(409, "in_flight", "a request with this key is being handled")
            self._handled.add(self._key)
            self._taken = True

    def pass_on(self) -> None:
        """What is written to the database from now on is written behind this one."""
        self.ours.set()

    def end(self) -> None:
        self.pass_on()
        if self._taken and self._key is not None:
            self._handled.discard(self._key)


class InFlight:
    """Idempotency keys in use; touched by the server's one event loop only.

    Several requests may bring one key, of which one is handled at a time: that whose body is here. Another's may never be, where its
    connection was cut without a word, and its sender has sent it again.
    """

    def __init__(self) -> None:
        self._latest: dict[_Key, asyncio.Event] = {}
        self._handled: set[_Key] = set()

    @contextmanager
    def begin(self, identity: str, key: str | None, after: str | None = None) -> Iterator[Turn]:
        held = None if key is None else (identity, key)
        turn = Turn(self._handled, held, None if after is None else self._latest.get((identity, after)))
        if held is not None:
            self._latest[held] = turn.ours
        try:
            yield turn
        finally:
            turn.end()
            if held is not None and self._latest.get(held) is turn.ours:
                del self._latest[held]


@dataclass(frozen=True)
class Options:
    """`hosts`: names beside loopback's that a Host header may carry. `body_limit`: bytes of a JSON body, inflated.
    `follows`: the spool that this house only shows, where it is nobody's server."""

    version: str
    allow_anonymous: bool = False
    hosts: frozenset[str] = frozenset()
    body_limit: int = 64 * 1024 * 1024
    follows: str | None = None


@dataclass(frozen=True)
class House:
    """`closing` is set when the server is told to end: answers that go on for ever end then."""

    store: Store
    blobs: Media
    auth: Auth
    options: Options
    shares: Shares
    agents: Agents
    purger: Purger
    in_flight: InFlight = field(default_factory=InFlight)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self) -> None:
        """Before the store is closed."""
        self.purger.close()
        try:
            self.agents.flush()
            self.auth.forget_codes()
        except StorageFailure as error:
            log.warning("what belongs to the end could not be written: %s", error)

    def used(self) -> dict[str, int | None]:
        """Bytes: `database` (None where it is a server's), `media`, `free` on the media's disk, if they are on one; `files`: how many
        media."""
        media, files = self.blobs.used() or self.store.read(media_used)
        return {"database": self.store.file_size(), "media": media, "files": files, "free": self.blobs.free()}


def house_of(request: Request) -> House:
    house: House = request.app.state.house
    return house
