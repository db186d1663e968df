"""Rollouts: the traces in a run's directory, and the server's ids of them."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Callable, TypeVar

from tracehoused.http.retry import Answer, Verdict
from tracehoused.upload import wire
from tracehoused.upload.batch import CREATE, Record
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.finding import creations_near, session_id_of
from tracehoused.upload.patches import Patch
from tracehoused.upload.rounds import Round, is_object

__all__ = ["Ids"]

T = TypeVar("T")

# ids of so many rollouts are kept at hand; an older one's is asked for again
_MOST = 10_000


class Ids:
    """Creates rollouts at the server and knows their ids."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known = context.checkpoint.rollouts

    def create(
        self, records: list[Record], run_id: str, pool: ThreadPoolExecutor, found: Round, is_known: Callable[[], bool]
    ) -> list[Record]:
        """Upsert them, many in a request or several at a time; returns those to be tried again later. ``is_known()``: ask the server
        whether it still has their run; Halt when it cannot be asked."""
        failed: list[Record] = []
        records = self._create_many(records, run_id, failed)
        for record, answer in zip(
            records, pool.map(partial(self._ask, run_id=run_id), [record.data for record in records])
        ):
            session_id = session_id_of(record)
            if answer.verdict is Verdict.ACCEPTED and answer.body is not None:
                self._remember([(session_id, str(answer.body["id"]))])
            elif answer.verdict is Verdict.MISSING and not is_known():
                raise Halt("forgotten", answer.reason, scope="session")  # it names the run, by the server's id
            elif answer.verdict in (Verdict.RETRY, Verdict.MISSING):
                self._fail([record], answer, failed)
            else:
                n = found.numbers[record.seq]
                self._context.bury(found.epoch.id, n, record, CREATE, answer.status, answer.reason, parked=False)
        return failed

    def _fail(self, records: list[Record], answer: Answer, failed: list[Record]) -> None:
        self._context.troubles.append(answer.reason)
        failed += records

    def _create_many(self, records: list[Record], run_id: str, failed: list[Record]) -> list[Record]:
        """Those that are left to be asked for one by one: all, where the server does not take them otherwise. ``failed`` grows by those
        that it asks to wait for."""
        context = self._context
        left = []
        for part in portions(records, context.capabilities.trace_batch):
            texts = [record.data for record in part]
            key = f"{context.uid}-{context.generation}-creates-{sha256(b','.join(texts)).hexdigest()[:16]}"
            answer = context.ask(wire.many_traces_request(texts, run_id, key))
            if _is_to_wait(answer):
                self._fail(part, answer, failed)
                continue
            made = answer.body.get("traces") if answer.verdict is Verdict.ACCEPTED and answer.body else None
            if not isinstance(made, list) or len(made) != len(part):
                left += part
                continue
            self._remember([(str(one["session_id"]), str(one["id"])) for one in made])
        return left if context.capabilities.trace_batch else records

    def patch_many(self, patches: list[Patch], epoch: str, is_known: Callable[[], bool]) -> list[Patch]:
        """Send rollouts' patches, many in a request; returns those that are left to be sent one by one. Halt where it asks to wait, or
        nothing gets through. ``epoch``: the writer of them all; ``is_known``: as of ``create``."""
        context = self._context
        left = []
        for part in portions(patches, context.capabilities.trace_batch):
            bodies = [{"session_id": patch.target, **patch.fields} for patch in part]
            digest = sha256(wire.dumps(bodies)).hexdigest()[:16]
            # what says the same later, after something else, is another request
            key = f"{context.uid}-{context.generation}-{epoch}-patches-{part[0].seqs[0]}-{digest}"
            answer = context.ask(wire.many_patches_request(bodies, key), may_be_lost=True)
            if answer.status is None:
                is_known()
            if _is_to_wait(answer):
                raise Halt("unavailable", answer.reason, scope="session", retry_after=answer.retry_after)
            if answer.verdict is not Verdict.ACCEPTED:
                left += part
        return left if context.capabilities.trace_batch else patches

    def ids_of(self, began: Mapping[str, str], run_id: str, near: tuple[str, int]) -> dict[str, str]:
        """The server's ids of rollouts, by upserting their records again where they are not at hand; without those whose record is refused.
        ``began``: a time for each, by its session_id, at which it had begun, for want of its record. ``near``: the segment (epoch, number)
        at and before which most of them lie."""
        found = {name: self._known[name] for name in began.keys() & self._known.keys()}
        for session_id, data in self._creations(began, found.keys(), near):
            answer = self._ask(data, run_id=run_id)
            if answer.verdict is Verdict.RETRY:
                raise Halt("unavailable", answer.reason, scope="session", retry_after=answer.retry_after)
            if answer.verdict is Verdict.ACCEPTED and answer.body is not None:
                found[session_id] = str(answer.body["id"])
                self._remember([(session_id, found[session_id])])
        return found

    def recreate(self, spans: list[Record], run_id: str, near: tuple[str, int]) -> bool:
        """The server says that it lacks the traces of some of these spans: upsert them. Whether it now has all of them."""
        began: dict[str, str] = {}
        for span in spans:
            if is_object(span.data):
                began.setdefault(session_id_of(span), str(json.loads(span.data).get("start_at")))
        return self.create_again(began, run_id, near)

    def create_again(self, began: Mapping[str, str], run_id: str, near: tuple[str, int]) -> bool:
        """Upsert rollouts that the server lacks; Halt where it cannot be asked to. ``began`` and ``near``: as of ``ids_of``. Whether all
        were taken."""
        for session_id in began:
            self._known.pop(session_id, None)
        for session_id, data in self._creations(began, (), near):
            # without a key, so that it is no old answer that comes back
            answer = self._context.ask(wire.create_request("trace", data, run_id, None))
            if answer.verdict is Verdict.RETRY:
                raise Halt("unavailable", answer.reason, scope="session", retry_after=answer.retry_after)
            if answer.verdict is Verdict.ACCEPTED and answer.body is not None:
                self._remember([(session_id, str(answer.body["id"]))])
        return began.keys() <= self._known.keys()

    def forget(self, *, but: int = 0) -> None:
        """All of them, as the server did, or all but the latest, to save memory between passes."""
        while len(self._known) > but:
            self._known.popitem(last=False)

    def _creations(
        self, began: Mapping[str, str], but: Container[str], near: tuple[str, int]
    ) -> Iterator[tuple[str, bytes]]:
        """What creates these rollouts. Where the record of one was damaged, could not be written, or has not been copied yet, it is the
        least that does: its other records are not lost with that one, nor kept back for it."""
        wanted = {session_id for session_id in began if session_id not in but}
        yield from creations_near(self._context, wanted, near)
        for session_id in sorted(wanted) if self._context.kind == "run" else ():
            yield session_id, wire.least_trace(session_id, began[session_id])

    def _ask(self, data: bytes, *, run_id: str) -> Answer:
        context = self._context
        key = f"{context.uid}-{context.generation}-create-{sha256(data).hexdigest()[:16]}"
        return context.ask(wire.create_request("trace", data, run_id, key))

    def _remember(self, pairs: list[tuple[str, str]]) -> None:
        news = [(session_id, server_id) for session_id, server_id in pairs if self._known.get(session_id) != server_id]
        self._known.update(news)
        self._context.checkpoint.note_ids("trace", news)
        self.forget(but=_MOST)


def _is_to_wait(answer: Answer) -> bool:
    return answer.verdict is Verdict.RETRY and answer.retry_after is not None


def portions(items: list[T], most: int) -> list[list[T]]:
    """``items`` in lists of at most ``most``; none where that is 0."""
    return [items[at : at + most] for at in range(0, len(items), most)] if most else []
