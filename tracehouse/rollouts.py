"""Names for the rollouts of a run: unique in it, whoever rolls out, and however often."""

from __future__ import annotations

from itertools import count

from tracehouse.ids import hex_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_STEPS = 4096


class RolloutIds:
    """``<client_run_id>-step<n>``, then ``.1``, ``.2`` …; with ``origin``, which is this writer's alone, ``…-step<n>-<origin>``.

    Remembers the steps it was last asked for; a rollout of an older one, long past, gets a random part instead.
    """

    def __init__(self, client_run_id: str) -> None:
        self._prefix = f"{client_run_id}-step"
        self._taken: dict[str, Iterator[int]] = {}
        self._highest = float("-inf")
        self._has_forgotten = False

    def take(self, step: object, origin: str) -> str:
        """The next unused session_id of that step."""
        name = f"{self._prefix}{step}-{origin}" if origin else f"{self._prefix}{step}"
        is_new = isinstance(step, (int, float)) and step > self._highest
        if isinstance(step, (int, float)) and is_new:
            self._highest = step
        taken = self._taken.get(name)
        if taken is None:
            if not is_new and self._has_forgotten:
                return f"{name}-{hex_id(8)}"
            taken = self._taken.setdefault(name, count())
        n = next(taken)  # one call into C: of two threads that come here at once each gets its own
        if len(self._taken) > MOST_STEPS:
            self._forget()
        return f"{name}.{n}" if n else name

    def _forget(self) -> None:
        self._has_forgotten = True
        for name in list(self._taken)[: MOST_STEPS // 2]:
            self._taken.pop(name, None)
