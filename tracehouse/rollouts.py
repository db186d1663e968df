"""Names for the rollouts of a run: unique in it, whoever rolls out, and however often."""

from __future__ import annotations

from tracehouse.ids import hex_id

MOST_STEPS = 4096


class RolloutIds:
    """``<client_run_id>-step<n>``, then ``.1``, ``.2`` …; with ``origin``, which is this writer's alone, ``…-step<n>-<origin>``.

    Remembers the steps it was last asked for; a rollout of an older one, long past, gets a random part instead.
    """

    def __init__(self, client_run_id: str) -> None:
        self._prefix = f"{client_run_id}-step"
        self._taken: dict[str, int] = {}
        self._highest = float("-inf")
        self._has_forgotten = False

    def take(self, step: object, origin: str) -> str:
        """The next unused session_id of that step."""
        name = f"{self._prefix}{step}-{origin}" if origin else f"{self._prefix}{step}"
        is_new = isinstance(step, (int, float)) and step > self._highest
        if isinstance(step, (int, float)) and is_new:
            self._highest = step
        count = self._taken.get(name, 0)
        if not count and not is_new and self._has_forgotten:
            return f"{name}-{hex_id(8)}"
        self._taken[name] = count + 1
        if len(self._taken) > MOST_STEPS:
            self._forget()
        return f"{name}.{count}" if count else name

    def _forget(self) -> None:
        for name in list(self._taken)[: MOST_STEPS // 2]:
            del self._taken[name]
        self._has_forgotten = True
