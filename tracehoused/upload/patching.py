"""Patches: changes of a session and of a run's rollouts, folded, in order, after what they follow."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import Executor
from hashlib import sha256
from typing import Callable

from tracehouse.spool.manifest import Manifest
from tracehoused.http.retry import Answer, Verdict
from tracehoused.upload import wire
from tracehoused.upload.batch import PATCHES, Record
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.patches import Patch, fold, target_of
from tracehoused.upload.rollouts import Ids
from tracehoused.upload.rounds import Round

__all__ = ["Patching"]


class Patching:
    """Those of one pass over a session. ``is_known()``: ask the server whether it still has the session; Halt when it cannot be asked."""

    def __init__(
        self, context: Context, manifest: Manifest, rollouts: Ids, is_known: Callable[[], bool], pool: Executor
    ) -> None:
        self._context = context
        self._manifest = manifest
        self._rollouts = rollouts
        self._is_known = is_known
        self._pool = pool
        # what of this pass is to be created or patched another time: nothing later may overtake that
        self._waiting: set[tuple[str, str]] = set()
        self._all_wait = False

    def apply(self, found: Round) -> bool:
        """Send a round's patches, each after what it patches; False when some are left."""
        if self._waiting or self._all_wait:
            self.hold(found.patches)
            return not found.patches
        patches = self._patch_rollouts(found, fold(found.patches, self._manifest.id))
        targets = self._target_ids(found, patches)
        sent = list(self._pool.map(self._ask_patch, [(found.epoch.id, *pair) for pair in zip(patches, targets)]))
        sent = self._once_more(found, patches, sent)
        settled = [self._settle_patch(found, patch, answer) for patch, answer in zip(patches, sent)]
        self._waiting = {(patch.kind, patch.target) for patch, done in zip(patches, settled) if not done}
        return not self._waiting

    def hold(self, records: Iterable[Record]) -> None:
        """No patch of this pass, nor any creation of what these create or change, goes out before them."""
        self._waiting.update(map(self._target, records))

    def hold_all(self) -> None:
        """Nor any creation at all."""
        self._all_wait = True

    def holds(self, record: Record) -> bool:
        """What this record creates or changes has a patch that waits, for all that is known."""
        return self._all_wait or (bool(self._waiting) and self._target(record) in self._waiting)

    def _target(self, record: Record) -> tuple[str, str]:
        return target_of(record.type, json.loads(record.data), self._manifest.id)

    def _patch_rollouts(self, found: Round, patches: list[Patch]) -> list[Patch]:
        """Rollouts' patches go many in a request where the server takes them so; returns the others."""
        many = [patch for patch in patches if patch.fields and patch.kind == "trace" and not self._is_own(patch)]
        left = self._rollouts.patch_many(many, found.epoch.id, self._is_known)
        gone = {id(patch) for patch in many} - {id(patch) for patch in left}
        self._settle(found, [seq for patch in patches if id(patch) in gone for seq in patch.seqs])
        return [patch for patch in patches if id(patch) not in gone]

    def _once_more(self, found: Round, patches: list[Patch], answers: list[Answer | None]) -> list[Answer | None]:
        """Rollouts that the server lacks, while it has their run, are made again from their records, and patched then."""
        lost = [patch for patch, answer in zip(patches, answers) if not self._is_own(patch) and _is_missing(answer)]
        if not lost or not self._is_known():
            return answers
        own = str(self._context.checkpoint.state.facts["server_id"])
        self._rollouts.create_again(self._began(lost), own, (found.epoch.id, max(found.ends)))
        targets = self._target_ids(found, lost)
        # under a key of its own: what it was answered before may be kept under the first
        again = {id(p): self._ask_patch((f"{found.epoch.id}-again", p, target)) for p, target in zip(lost, targets)}
        return [again.get(id(patch), answer) for patch, answer in zip(patches, answers)]

    def _ask_patch(self, item: tuple[str, Patch, str | None]) -> Answer | None:
        """None when there is nothing to send, or nobody to send it to."""
        epoch, patch, server_id = item
        if server_id is None or not (patch.fields or patch.is_card):
            return None
        context = self._context
        key = f"{context.uid}-{context.generation}-{epoch}-patch-{patch.seqs[0]}-{_digest(wire.dumps(patch.fields))}"
        if patch.is_card:
            request = wire.push_card_request(server_id, wire.dumps(patch.fields), key)
        else:
            request = wire.patch_request(patch.kind, server_id, patch.fields, key)
        answer = context.ask(request, may_be_lost=True)
        if answer.status is None:
            self._is_known()  # Halt where nothing at all gets through
        return answer

    def _settle_patch(self, found: Round, patch: Patch, answer: Answer | None) -> bool:
        if answer is None:
            if patch.fields or patch.is_card:
                self._bury(found, patch, None, f"nothing is known of {patch.target!r}, which it patches")
        elif answer.verdict is Verdict.DELETED and self._is_own(patch):
            raise Halt("deleted", answer.reason, scope="session")
        elif answer.verdict is Verdict.MISSING and not self._is_known():
            raise Halt("forgotten", answer.reason, scope="session")
        elif (answer.verdict is Verdict.RETRY and answer.status != 501) or self._is_astray(patch, answer):
            self._context.troubles.append(answer.reason)
            return False
        elif answer.verdict is not Verdict.ACCEPTED:
            # a rollout that was just made again, and is not there to be patched, may be one day
            self._bury(found, patch, answer.status, answer.reason, parked=_is_missing(answer) and not patch.is_card)
        elif patch.outcome and self._is_own(patch):
            self._context.checkpoint.fact("outcome_sent", patch.outcome)
        self._settle(found, patch.seqs)
        return True

    def _settle(self, found: Round, seqs: Iterable[int]) -> None:
        ranges = [[seq, seq] for seq in seqs]
        if ranges:
            entry = {"op": "settle", "epoch": found.epoch.id, "lane": PATCHES, "ranges": ranges}
            self._context.checkpoint.note(entry)

    def _is_own(self, patch: Patch) -> bool:
        """It changes the session itself, not one of a run's rollouts."""
        return patch.target == self._manifest.id and patch.kind == self._manifest.kind

    def _is_astray(self, patch: Patch, answer: Answer) -> bool:
        """A 404 for what the server, asked, has: it is from something in between."""
        return _is_missing(answer) and self._is_own(patch) and not patch.is_card

    def _began(self, patches: list[Patch]) -> dict[str, str]:
        """Of the rollouts that these change, a time that is certain: their run had begun."""
        return {patch.target: self._manifest.created_at for patch in patches}

    def _target_ids(self, found: Round, patches: list[Patch]) -> list[str | None]:
        own = str(self._context.checkpoint.state.facts["server_id"])
        others = self._began([patch for patch in patches if not self._is_own(patch)])
        known = self._rollouts.ids_of(others, own, (found.epoch.id, max(found.ends)))
        return [own if self._is_own(patch) else known.get(patch.target) for patch in patches]

    def _bury(self, found: Round, patch: Patch, status: int | None, reason: str, *, parked: bool = False) -> None:
        for record in found.patches:
            if record.seq in patch.seqs:
                self._context.bury(found.epoch.id, found.numbers[record.seq], record, PATCHES, status, reason, parked)


def _is_missing(answer: Answer | None) -> bool:
    return answer is not None and answer.verdict is Verdict.MISSING


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]
