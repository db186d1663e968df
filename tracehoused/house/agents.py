"""Which machines send here, and what their agents say of themselves in the headers of every request.

    X-Claude-Monitor-Machine-Id, -Hostname, -Agent-Version    who it is
    X-Tracehouse-Pending                                      records that wait on the machine
    X-Tracehouse-Dead                                         records given up, with their reasons kept there
    X-Tracehouse-Oldest                                       ISO 8601: the time of the oldest record not acknowledged

The last three are optional. What is seen is written down every few seconds, not with each request.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from tracehoused.house.store.once import Caller, named
from tracehoused.house.store.schema import agents
from tracehoused.house.store.store import Store
from tracehoused.house.values import is_time

_EVERY_S = 5.0
_MOST = 10_000


@dataclass(frozen=True)
class Seen:
    """What came from one machine since it was last written down."""

    hostname: str | None
    version: str | None
    seen_us: int
    last: str
    pending: int | None
    dead: int | None
    oldest: str | None
    requests: int = 0


class Agents:
    """`note` costs microseconds; it hands a change to the store's writer at most every five seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[tuple[str, str], Seen] = {}
        self._lock = threading.Lock()
        self._due = 0.0

    def note(self, caller: Caller, what: str, headers: Any) -> None:
        """`what` was done by a caller; `headers` of the request, with `get`."""
        key = caller.identity, caller.machine
        pending, dead = _count(headers.get("x-tracehouse-pending")), _count(headers.get("x-tracehouse-dead"))
        oldest = headers.get("x-tracehouse-oldest")
        told = oldest if is_time(oldest) else None
        now_us, version = self._store.now_us(), caller.agent_version
        new = Seen(caller.hostname, version, now_us, what[:64], pending, dead, told)
        with self._lock:
            old = self._seen.get(key)
            if old is not None or len(self._seen) < _MOST:
                self._seen[key] = replace(new, requests=(old.requests if old else 0) + 1)
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + _EVERY_S
            seen, self._seen = self._seen, {}
        self._store.write(lambda connection: _put(connection, seen), (named("agents"),))

    def flush(self) -> None:
        """Write down what was seen since."""
        with self._lock:
            seen, self._seen = self._seen, {}
        if seen:
            self._store.write(lambda connection: _put(connection, seen), (named("agents"),)).result()

    def listed(self) -> list[Row[Any]]:
        """What was seen of each machine, the latest first."""
        self.flush()
        query = select(agents).order_by(agents.c.seen_us.desc()).limit(1000)
        return self._store.read(lambda connection: list(connection.execute(query)))


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 15 else None


def _put(connection: Connection, seen: dict[tuple[str, str], Seen]) -> None:
    for (identity, machine), one in seen.items():
        where = agents.c.identity == identity, agents.c.machine == machine
        told = {
            name: getattr(one, name) for name in ("hostname", "version", "seen_us", "last", "pending", "dead", "oldest")
        }
        requests = connection.execute(select(agents.c.requests).where(*where)).scalar()
        if requests is None:
            values = {"identity": identity, "machine": machine, "first_us": one.seen_us, "requests": one.requests}
            connection.execute(insert(agents).values(**values, **told))
        else:
            connection.execute(update(agents).where(*where).values(**told, requests=requests + one.requests))
