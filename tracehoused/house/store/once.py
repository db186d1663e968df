"""Each change has its effect once: by idempotency key, and by range of sequence numbers for ever.

Both are recorded in the transaction of the data they speak of. A key that comes back with the same request gets the
stored answer, with another one 422 `key_reused`. A range that is wholly known gets the answer of a success without
effect; one that is partly known 409 `overlap` with what is held. A request may name the key of one that it comes after
(X-Tracehouse-After), to be sent before that is answered: without that one's effect it has none, and gets 425 `after`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select

from tracehoused.house.errors import Refusal
from tracehoused.house.store import ranges
from tracehoused.house.store.schema import requests


@dataclass(frozen=True)
class Range:
    """Sequence numbers first..last of a session's segment."""

    uid: str
    segment: str
    first: int
    last: int


@dataclass(frozen=True)
class Caller:
    """Who asks: `identity` owns what it writes; `scope` is `write`, `read` or `browser`; an owner sees everything in the
    house. `share`: ("run" or "trace", its number) that a link opens; such a caller sees that, and nothing else."""

    identity: str
    scope: str
    owner: bool
    machine: str = "unknown"
    hostname: str | None = None
    agent_version: str | None = None
    share: tuple[str, int] | None = None

    def sees_run(self, row: Row[Any]) -> bool:
        """`row` has pk and identity."""
        return self.owner or self.identity == row.identity or self.share == ("run", row.pk)

    def sees_trace(self, row: Row[Any]) -> bool:
        """`row` has pk, identity and run: a run's link shows its rollouts."""
        of_run = row.run is not None and self.share == ("run", row.run)
        return self.owner or self.identity == row.identity or self.share == ("trace", row.pk) or of_run


@dataclass(frozen=True)
class Once:
    """What makes a request recognisable. `endpoint` names the interval set; `attempt` and `writer` go with points. `after`: the
    key of a request without whose effect this one has none."""

    endpoint: str
    key: str | None = None
    digest: str = ""
    range: Range | None = None
    attempt: int = 0
    writer: str = ""
    after: str | None = None


def named(kind: str, *parts: object) -> str:
    """A name under which changes run one after the other; see Store.write."""
    return "/".join((kind, *map(str, parts)))


def names_of(caller: Caller, once: Once, target: str | None) -> tuple[str, ...]:
    """What a request looks at before it changes it: its key, its session, its machine's runs and traces, its target."""
    names = [named("machine", caller.identity, caller.machine)]
    if target is not None:
        names.append(named("id", target))
    names += [named("key", caller.identity, key) for key in (once.key, once.after) if key is not None]
    if once.range is not None:
        names.append(named("session", caller.identity, once.range.uid))
    return tuple(names)


@dataclass(frozen=True)
class Answer:
    body: dict[str, Any]
    status: int = 200
    replayed: bool = False


Apply = Callable[[Connection], Answer]


def apply_once(connection: Connection, caller: Caller, once: Once, now_us: int, apply: Apply, known: Apply) -> Answer:
    """The answer of `apply`, or of an earlier success, or of `known` where the range was applied before."""
    stored = _stored_answer(connection, caller, once)
    if stored is not None:
        return stored
    place = None if once.range is None else _place(caller, once, once.range)
    near = [] if place is None or once.range is None else _near(connection, once, once.range, place)
    if near is None:
        answer = replace(known(connection), replayed=True)
    else:
        _check_after(connection, caller, once)
        answer = apply(connection)
        if place is not None and once.range is not None:
            ranges.add(connection, place, once.range.first, once.range.last, near)
    _store_answer(connection, caller, once, now_us, answer)
    return answer


def check_once(connection: Connection, caller: Caller, once: Once) -> None:
    """Refusal where `apply_once` would refuse a request for what it is recognised by, and not for what it asks."""
    held = once.range
    if _stored_answer(connection, caller, once) is not None:
        return
    if held is None or _near(connection, once, held, _place(caller, once, held)) is not None:
        _check_after(connection, caller, once)


def _check_after(connection: Connection, caller: Caller, once: Once) -> None:
    asked = {"of": caller.identity, "asked": once.after}
    if once.after is not None and connection.execute(_ANSWER, asked).first() is None:
        raise Refusal(425, "after", f"the request with the key {once.after!r} has had no effect here")


def _place(caller: Caller, once: Once, held: Range) -> ranges.Place:
    return ranges.Place(caller.identity, held.uid, held.segment, once.endpoint)


def _near(connection: Connection, once: Once, asked: Range, place: ranges.Place) -> list[ranges.Interval] | None:
    """The intervals near the one that is asked for; None when all of it was applied before, Refusal 409 for a part."""
    found = ranges.near(connection, place, asked.first, asked.last)
    have = ranges.cut(found, asked.first, asked.last)
    if have == [(asked.first, asked.last)]:
        return None
    if have and once.endpoint not in REPEATABLE:
        message = f"part of {asked.first}-{asked.last} was applied before"
        raise Refusal(409, "overlap", message, have=[list(interval) for interval in have])
    return found


# Upserts and patches fold several records into one request; a part of them applied twice does no harm.
REPEATABLE = frozenset({"traces", "runs", "trace_patch", "run_patch"})


_ANSWER = select(requests.c.digest, requests.c.status, requests.c.body).where(
    requests.c.identity == bindparam("of"), requests.c.key == bindparam("asked")
)
_KEEP = insert(requests)


def _stored_answer(connection: Connection, caller: Caller, once: Once) -> Answer | None:
    if once.key is None:
        return None
    row = connection.execute(_ANSWER, {"of": caller.identity, "asked": once.key}).first()
    if row is None:
        return None
    if row.digest != once.digest:
        raise Refusal(422, "key_reused", f"the key {once.key!r} was used for another request")
    return Answer(json.loads(row.body), row.status, replayed=True)


def _store_answer(connection: Connection, caller: Caller, once: Once, now_us: int, answer: Answer) -> None:
    if once.key is None:
        return
    values = {"identity": caller.identity, "key": once.key, "digest": once.digest, "created_us": now_us}
    row = {**values, "status": answer.status, "body": json.dumps(answer.body)}
    connection.execute(_KEEP, row)
