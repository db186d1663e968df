"""What tells runs apart that have the same name. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_SHORT = 6


def told_apart(runs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """The names of runs, given as (id, name), by their ids; with the beginning of the id, as its address has it, where others
    have the same name."""
    names = {one: name or "(no name)" for one, name in runs}
    many = Counter(names.values())
    return {one: f"{name} {one[:_SHORT]}" if many[name] > 1 else name for one, name in names.items()}
