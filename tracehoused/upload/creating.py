"""What a round's records create: the session itself, begun again, and a run's rollouts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from tracehouse.spool.manifest import Manifest
from tracehoused.upload.batch import CREATE, Record
from tracehoused.upload.context import Context
from tracehoused.upload.creation import Creation
from tracehoused.upload.patching import Patching
from tracehoused.upload.rollouts import Ids
from tracehoused.upload.rounds import Round

__all__ = ["Creating"]


class Creating:
    """Those of one pass over a session."""

    def __init__(
        self,
        context: Context,
        manifest: Manifest,
        creation: Creation,
        rollouts: Ids,
        patching: Patching,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._context = context
        self._kind = manifest.kind
        self._creation = creation
        self._rollouts = rollouts
        self._patching = patching
        self._pool = pool

    def apply(self, found: Round, hold_spans: Callable[[], None]) -> bool:
        """Upsert what a round's records create, but for what follows patches that wait; False when some is left. What is created is
        settled, whatever becomes of the round: done once more it would go back behind its patches."""
        ready = [record for record in found.creates if not self._patching.holds(record)]
        for record in filter(self._is_main, ready):
            self._update(found, record)
        rollouts = [record for record in ready if not self._is_main(record)]
        run_id = str(self._context.checkpoint.state.facts["server_id"])
        failed = self._rollouts.create(rollouts, run_id, self._pool, found, self._creation.is_known)
        if failed:
            hold_spans()
            self._patching.hold(failed)
        made = {record.seq for record in ready}.difference(record.seq for record in failed)
        if made:
            ranges = [[seq, seq] for seq in sorted(made)]
            entry = {"op": "settle", "epoch": found.epoch.id, "lane": CREATE, "ranges": ranges}
            self._context.checkpoint.note(entry)
        return len(made) == len(found.creates)

    def _update(self, found: Round, record: Record) -> None:
        if record.data.decode("utf-8", "replace") == self._context.checkpoint.state.facts.get("create"):
            return  # it is what the session was created by
        refused = self._creation.update(record.data)
        if refused is not None:
            n, status = found.numbers[record.seq], refused.status
            self._context.bury(found.epoch.id, n, record, CREATE, status, refused.reason, False)

    def _is_main(self, record: Record) -> bool:
        return self._kind == "trace" or record.type == b"run"
