"""What every request handler needs, and the keys of requests that are being handled now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True)
class Turn:
    """A request's place behind the one that it names, where that began before it: so none waits for one that waits for it."""

    ours: asyncio.Event
    before: asyncio.Event | None

    async def come(self) -> None:
        """Wait until that one is on its way to the database, or has ended."""
        if self.before is not None:
            await self.before.wait()

    def pass_on(self) -> None:
        """What is written to the database from now on is written behind this one."""
        self.ours.set()


class InFlight:
    """Idempotency keys in use; touched by the server's one event loop only."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], asyncio.Event] = {}

    @contextmanager
    def hold(self, identity: str, key: str | None, after: str | None = None) -> Iterator[Turn]:
        turn = Turn(asyncio.Event(), None if after is None else self._keys.get((identity, after)))
        if key is None:
            yield turn
            return
        held = (identity, key)
        if held in self._keys:
            raise Refusal(409, "in_flight", "a request with this key is being handled")
        self._keys[held] = turn.ours
        try:
            yield turn
        finally:
            turn.pass_on()
            del self._keys[held]


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
