"""What was accepted later than a patch that was refused: another try of that one must not undo it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from tracehoused.upload.batch import LANES, PATCHES, Record
from tracehoused.upload.context import Context
from tracehoused.upload.deadletter import DeadLetter
from tracehoused.upload.finding import of_types
from tracehoused.upload.patches import Patch, fold, target_of, without
from tracehoused.upload.reader import writers
from tracehoused.upload.refused import record_of

__all__ = ["Later"]

_TYPES = [kind for kind, lane in LANES.items() if lane == PATCHES]


class Later:
    """``letters``: those of a session that are there now, by key. Its segments are read once, when first asked, and of them is kept what
    changes the same things."""

    def __init__(self, context: Context, session_id: str, letters: Mapping[tuple[str, int, str], DeadLetter]) -> None:
        self._context = context
        self._session_id = session_id
        self._letters = letters

    def spared(self, letter: DeadLetter, patch: Patch) -> dict[str, Any] | None:
        """The fields of a letter's patch without those that a later one changed; None where nothing is left to change."""
        for later in fold(self._after(letter, (patch.kind, patch.target)), self._session_id):
            if later.is_card == patch.is_card:
                return None if patch.is_card else without(patch.fields, later.fields) or None
        return patch.fields if patch.fields or patch.is_card else None

    def _after(self, letter: DeadLetter, target: tuple[str, str]) -> list[Record]:
        place = self._ranks.get(letter.epoch, 0), letter.seq
        state = self._context.checkpoint.state
        return [
            record
            for rank, epoch, record in self._patches.get(target, ())
            if (rank, record.seq) > place
            and (epoch, record.seq, PATCHES) not in self._letters
            and state.is_settled(epoch, PATCHES, record.seq)
        ]

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {epoch.id: rank for rank, epoch in enumerate(writers(self._context.session))}

    @cached_property
    def _patches(self) -> dict[tuple[str, str], list[tuple[int, str, Record]]]:
        """In order, of each thing that a letter changes."""
        refused = [record_of(self._context, letter) for letter in self._letters.values() if letter.lane == PATCHES]
        found: dict[tuple[str, str], list[tuple[int, str, Record]]] = {
            self._target(record): [] for record in refused if record is not None
        }
        for rank, epoch in enumerate(writers(self._context.session)):
            for n in epoch.sizes:
                for record in of_types(self._context, _TYPES, epoch.id, n):
                    target = self._target(record)
                    if target in found:
                        found[target].append((rank, epoch.id, record))
        return found

    def _target(self, record: Record) -> tuple[str, str]:
        return target_of(record.type, json.loads(record.data), self._session_id)
