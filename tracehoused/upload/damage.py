"""What no record could be made of, in all of a session, and how that is told."""

from __future__ import annotations

from typing import Any

from tracehoused.upload.checkpoint import Checkpoint
from tracehoused.upload.facts import Damage
from tracehoused.upload.rounds import Round

__all__ = ["count_damage", "damaged_bytes", "no_record"]


def damaged_bytes(facts: dict[str, Any]) -> int:
    """Of all writers' segments, as far as they were read."""
    return sum(Damage.of(facts, epoch).bytes for epoch in facts.get("damage") or {})


def count_damage(checkpoint: Checkpoint, found: Round) -> None:
    """Of a round: once, also where it is read again."""
    if found.damaged_bytes:
        facts, epoch = checkpoint.state.facts, found.epoch.id
        known = Damage.of(facts, epoch)
        places = {n: max(end, known.ends.get(n, 0)) for n, end in found.ends.items()}
        told = Damage({**known.ends, **places}, known.lines + found.damaged_lines, known.bytes + found.damaged_bytes)
        checkpoint.fact("damage", {**(facts.get("damage") or {}), epoch: told.to_fact()})


def no_record(size: int) -> str:
    """For people: that so many bytes are none."""
    return f"{size:,} bytes are no record: damaged, or torn when their writer died"
