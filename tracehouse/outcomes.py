"""How a session ended, from how each of its writers did. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# of several writers' ends without an explicit word, the gravest counts
_GRAVITY = ("finished", "killed", "failed", "crashed")


class Ending:
    """One writer's. ``lives``: True, False, or None where nobody here can say."""

    def __init__(self, attempt: int, claim: int, lives: bool | None) -> None:
        self.attempt = attempt
        self.claim = claim
        self.lives = lives
        self.is_done = False
        self.explicit: str | None = None
        self.status: str | None = None

    def note(self, kind: str, fields: dict[str, Any]) -> None:
        """A record of type exit, close or run_patch."""
        if kind == "run_patch":
            self.explicit = fields.get("status") or self.explicit
            return
        self.is_done = True
        if kind == "exit":
            self.status = fields.get("status") or self.status


def status_of(endings: list[Ending]) -> str:
    """Of the last attempt: what its creator said, else any of its writers, else the gravest way in which one of them ended."""
    if not endings:
        return "empty"
    last = [ending for ending in endings if ending.attempt == max(one.attempt for one in endings)]
    last.sort(key=lambda ending: ending.claim)
    open_ends = [ending for ending in last if not ending.is_done]
    if any(ending.lives for ending in open_ends):
        return "running"
    if any(ending.lives is None for ending in open_ends):
        return "unknown"
    said = [ending.explicit for ending in last if ending.explicit]
    if said:
        return last[0].explicit or said[-1]
    ways = ["crashed" for _ in open_ends] + [ending.status for ending in last if ending.status in _GRAVITY]
    return max((way for way in ways if way), key=_GRAVITY.index, default="ended")
