"""Rollouts: the traces in a run's directory, and the server's ids of them."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import TypeVar

from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehoused import wire
from tracehoused.batch import CREATE, Record
from tracehoused.context import Context, Halt
from tracehoused.patches import Patch
from tracehoused.reader import Scan, open_checked, scan
from tracehoused.retry import Answer, Verdict
from tracehoused.rounds import Round, is_object

__all__ = ["Ids", "find_record"]

T = TypeVar("T")

# ids of so many rollouts are kept at hand; an older one's is asked for again
_MOST = 10_000


class Ids:
    """Creates rollouts at the server and knows their ids."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: OrderedDict[str, str] = OrderedDict()

    def create(self, records: list[Record], run_id: str, pool: ThreadPoolExecutor, found: Round) -> list[Record]:
        """Upsert them, many in a request or several at a time; returns those to be tried again later."""
        failed = []
        records = self._create_many(records, run_id)
        for record, answer in zip(records, pool.map(partial(self._ask, run_id=run_id), records)):
            session_id = _session_id(record)
            if answer.verdict is Verdict.ACCEPTED and answer.body is not None:
                self._remember([(session_id, str(answer.body["id"]))])
            elif answer.verdict is Verdict.RETRY:
                self._context.troubles.append(answer.reason)
                failed.append(record)
            elif answer.verdict is Verdict.MISSING:
                raise Halt("forgotten", answer.reason, scope="session")  # it names the run, by the server's id
            else:
                self._context.bury(
                    found.epoch.id, found.end[0], record, CREATE, answer.status, answer.reason, parked=False
                )
        return failed

    def _create_many(self, records: list[Record], run_id: str) -> list[Record]:
        """Those that are left to be asked for one by one: all, where the server does not take them otherwise."""
        context = self._context
        left = []
        for part in portions(records, context.capabilities.trace_batch):
            texts = [record.data for record in part]
            key = f"{context.uid}-{context.generation}-creates-{sha256(b','.join(texts)).hexdigest()[:16]}"
            answer = context.ask(wire.many_traces_request(texts, run_id, key))
            made = answer.body.get("traces") if answer.verdict is Verdict.ACCEPTED and answer.body else None
            if not isinstance(made, list) or len(made) != len(part):
                left += part
                continue
            self._remember([(str(one["session_id"]), str(one["id"])) for one in made])
        return left if context.capabilities.trace_batch else records

    def patch_many(self, patches: list[Patch]) -> list[Patch]:
        """Send rollouts' patches, many in a request; returns those that are left to be sent one by one."""
        context = self._context
        left = []
        for part in portions(patches, context.capabilities.trace_batch):
            bodies = [{"session_id": patch.target, **patch.fields} for patch in part]
            key = f"{context.uid}-{context.generation}-patches-{sha256(wire.dumps(bodies)).hexdigest()[:24]}"
            if context.ask(wire.many_patches_request(bodies, key)).verdict is not Verdict.ACCEPTED:
                left += part
        return left if context.capabilities.trace_batch else patches

    def id_of(self, session_id: str, run_id: str) -> str | None:
        """The server's id of a rollout, by upserting its record again if need be; None when there is no record of it."""
        if session_id not in self._known:
            data = find_record(self._context, b"trace", session_id)
            if data is None:
                return None
            answer = self._ask(Record(0, b"trace", data, 0, 0), run_id=run_id)
            if answer.verdict is Verdict.RETRY:
                raise Halt("unavailable", answer.reason, scope="session", retry_after=answer.retry_after)
            if answer.verdict is not Verdict.ACCEPTED or answer.body is None:
                return None
            self._remember([(session_id, str(answer.body["id"]))])
        return self._known[session_id]

    def recreate(self, spans: list[Record], run_id: str) -> None:
        """The server says that it lacks the traces of some of these spans: upsert those that are recorded here."""
        wanted = {_session_id(span) for span in spans}
        for record in _creations(self._context):
            session_id = _session_id(record)
            if session_id in wanted:
                wanted.discard(session_id)
                # without a key, so that it is no old answer that comes back
                answer = self._context.ask(wire.create_request("trace", record.data, run_id, None))
                if answer.verdict is Verdict.ACCEPTED and answer.body is not None:
                    self._remember([(session_id, str(answer.body["id"]))])
            if not wanted:
                return

    def _ask(self, record: Record, *, run_id: str) -> Answer:
        context = self._context
        key = f"{context.uid}-{context.generation}-create-{sha256(record.data).hexdigest()[:16]}"
        return context.ask(wire.create_request("trace", record.data, run_id, key))

    def _remember(self, pairs: list[tuple[str, str]]) -> None:
        news = [(session_id, server_id) for session_id, server_id in pairs if self._known.get(session_id) != server_id]
        self._known.update(news)
        self._context.checkpoint.note_ids("trace", news)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)


def portions(items: list[T], most: int) -> list[list[T]]:
    """``items`` in lists of at most ``most``; none where that is 0."""
    return [items[at : at + most] for at in range(0, len(items), most)] if most else []


def _session_id(record: Record) -> str:
    return str(json.loads(record.data).get("session_id"))


def find_record(context: Context, kind: bytes, session_id: str) -> bytes | None:
    """The data of a session's or rollout's first creation record, wherever it lies in the segments."""
    id_name = "client_run_id" if kind == b"run" else "session_id"
    for record in _creations(context, kind):
        if json.loads(record.data).get(id_name) == session_id:
            return record.data
    return None


def _creations(context: Context, kind: bytes = b"trace") -> Iterator[Record]:
    for name in sorted(os.listdir(context.session)):
        segment = layout.parse_segment_name(name)
        if segment is None:
            continue
        fd = open_checked(os.path.join(context.session, name))
        try:
            seed = framing.checksum_seed(context.uid, segment.epoch)
            for record in scan(fd, seed, 0, os.fstat(fd).st_size, Scan(0)):
                if record.type == kind and is_object(record.data):
                    yield record
        finally:
            os.close(fd)
