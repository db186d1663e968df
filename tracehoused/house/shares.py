"""Links that show one run or one trace to whoever has them, and the claiming of what was sent anonymously.

A link's token opens what it was made for and nothing else, for reading only; it is stored as its SHA-256. A run's link
shows the run's rollouts too. Claiming uses the claim token up; what was sent stays where it is and the sender's token
goes on working, so that an upload that is under way does not break.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from tracehoused.house.auth import digest
from tracehoused.house.errors import Refusal
from tracehoused.house.store.once import Caller, named
from tracehoused.house.store.runs import run_row
from tracehoused.house.store.schema import keys, runs, shares, traces
from tracehoused.house.store.store import Store
from tracehoused.house.store.traces import trace_row

DAY_US = 24 * 3600 * 1_000_000
_REMEMBERED_S = 5.0
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Claimed:
    """What an anonymous identity has sent."""

    identity: str
    runs: int
    traces: int


class Shares:
    """Looks tokens up; what was found is remembered for seconds only, so that a link ends soon in every process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, tuple[str, int] | None]] = {}

    def find(self, token: str) -> tuple[str, int] | None:
        """("run" or "trace", its number) that a token opens; None if it opens nothing, or nothing any more."""
        asked = digest(token)
        known = self._known.get(asked)
        if known is None or time.monotonic() - known[0] > _REMEMBERED_S:
            if len(self._known) > _MOST_REMEMBERED:
                self._known.clear()
            known = time.monotonic(), self._store.read(lambda connection: self._held(connection, asked))
            self._known[asked] = known
        return known[1]

    def _held(self, connection: Connection, asked: str) -> tuple[str, int] | None:
        query = select(shares).where(shares.c.digest == asked, shares.c.revoked_us.is_(None))
        row = connection.execute(query).first()
        if row is None or (row.expires_us is not None and row.expires_us < self._store.now_us()):
            return None
        return str(row.kind), int(row.target)

    def make(self, caller: Caller, kind: str, target_id: str, days: int | None) -> str:
        """A token for a run or trace, for so many days or until it is revoked. Refusal 404 or 410."""
        token, now_us = f"share_{secrets.token_urlsafe(32)}", self._store.now_us()

        def change(connection: Connection) -> None:
            row = run_row(connection, caller, target_id) if kind == "run" else trace_row(connection, caller, target_id)
            held = {"digest": digest(token), "kind": kind, "target": row.pk, "created_us": now_us}
            expires_us = None if days is None else now_us + days * DAY_US
            connection.execute(insert(shares).values(**held, expires_us=expires_us))

        self._store.write(change).result()
        return token

    def revoke(self, share: str) -> None:
        """`share`: its digest."""
        now_us = self._store.now_us()
        ended = update(shares).where(shares.c.digest == share, shares.c.revoked_us.is_(None)).values(revoked_us=now_us)
        self._store.write(lambda connection: connection.execute(ended)).result()
        self._known.pop(share, None)

    def listed(self) -> list[Row[Any]]:
        """Links that are not revoked, newest first, with the id and name of what each opens."""
        name = func.coalesce(runs.c.name, traces.c.task_name, traces.c.session_id).label("name")
        query = select(shares, func.coalesce(runs.c.id, traces.c.id).label("id"), name)
        query = query.outerjoin(runs, (shares.c.kind == "run") & (runs.c.pk == shares.c.target))
        query = query.outerjoin(traces, (shares.c.kind == "trace") & (traces.c.pk == shares.c.target))
        query = query.where(shares.c.revoked_us.is_(None)).order_by(shares.c.created_us.desc()).limit(500)
        return self._store.read(lambda connection: list(connection.execute(query)))

    def claimable(self, token: str) -> Claimed | None:
        """What a claim token stands for; None if it is unknown or used up."""
        return self._store.read(lambda connection: _claimable(connection, token))

    def claim(self, token: str) -> Claimed:
        """Use a claim token up. Its read links end: what was public is the house's own now. Refusal 404."""
        now_us = self._store.now_us()

        def change(connection: Connection) -> Claimed:
            found = _claimable(connection, token)
            if found is None:
                raise Refusal(404, "unknown_claim", "this claim link was used before, or is not one of this house's")
            mine = keys.c.identity == found.identity
            connection.execute(update(keys).where(mine).values(label="claimed"))
            over = update(keys).where(mine, keys.c.scope.in_(("claim", "read")), keys.c.revoked_us.is_(None))
            connection.execute(over.values(revoked_us=now_us))
            return found

        return self._store.write(change, (named("claim", digest(token)),)).result()


def _claimable(connection: Connection, token: str) -> Claimed | None:
    query = select(keys.c.identity).where(keys.c.digest == digest(token), keys.c.scope == "claim")
    identity = connection.execute(query.where(keys.c.revoked_us.is_(None))).scalar()
    if identity is None:
        return None
    sent = [
        connection.execute(select(func.count()).where(table.c.identity == identity)).scalar_one()
        for table in (runs, traces)
    ]
    return Claimed(identity, sent[0], sent[1])
