"""What no record could be made of, in all of a session, and how that is told."""

from __future__ import annotations

from typing import Any

from tracehoused.upload.facts import Damage

__all__ = ["damaged_bytes", "no_record"]


def damaged_bytes(facts: dict[str, Any]) -> int:
    """Of all writers' segments, as far as they were read."""
    return sum(Damage.of(facts, epoch).bytes for epoch in facts.get("damage") or {})


def no_record(size: int) -> str:
    """For people: that so many bytes are none."""
    return f"{size:,} bytes are no record: damaged, or torn when their writer died"
