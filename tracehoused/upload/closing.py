"""How a session ended, from how its writers ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["RUNNING", "End", "final"]

RUNNING = "running"
# of several writers' ends without an explicit word of the creator's, the gravest counts
_GRAVITY = ("finished", "killed", "failed", "crashed")


@dataclass(frozen=True)
class End:
    """How one writer (of ``attempt``, with ``claim``) left a session.

    ``status``: what it said, or None. ``explicit``: by finish(), not by its process's exit. ``done``: it closed the session or its
    process ended; ``dead``: it is proven dead without having said so. ``at``: UTC ISO 8601 of that, or of its last record.
    """

    epoch: str
    attempt: int
    claim: int
    status: str | None = None
    explicit: bool = False
    done: bool = False
    dead: bool = False
    at: str = ""
    error: str = ""

    @property
    def over(self) -> bool:
        return self.done or self.dead

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def final(ends: Iterable[End]) -> End | None:
    """The end of the session: None while a writer of the last attempt lives, or when none of them said anything of it."""
    found = sorted(ends, key=lambda end: (end.attempt, end.claim, end.epoch))
    if not found:
        return None
    last = [end for end in found if end.attempt == found[-1].attempt]
    if not all(end.over for end in last):
        return None
    at = max(end.at for end in last)
    explicit = [end for end in last if end.explicit and end.status]
    if explicit:
        # the creator is the attempt's first writer; without a word of its own, the last word counts
        chosen = explicit[0] if explicit[0] is last[0] else explicit[-1]
        return End(chosen.epoch, chosen.attempt, chosen.claim, chosen.status, True, True, False, chosen.at or at)
    said = [end for end in last if end.dead or end.status not in (None, "", RUNNING)]
    if not said:
        return None
    worst = max(said, key=_gravity)
    status = "crashed" if worst.dead else worst.status
    return End(worst.epoch, worst.attempt, worst.claim, status, False, True, worst.dead, at, worst.error)


def _gravity(end: End) -> int:
    """A word that is not known here weighs least, and is told as it is."""
    return len(_GRAVITY) if end.dead else _GRAVITY.index(end.status) if end.status in _GRAVITY else -1
