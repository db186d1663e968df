"""What each named value of a session's state may look like. Who can write to the session's directory can write anything there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

__all__ = ["ENDS", "Damage", "is_count", "sensible"]

# the fact that says of each writer how it ended, as far as its records were read
ENDS = "ends"

_END = {
    "attempt": int,
    "claim": int,
    "joined": int,
    "seq": int,
    "done": bool,
    "explicit": bool,
    "at": str,
    "last_at": str,
    "error": str,
}


@dataclass(frozen=True)
class Damage:
    """What no record could be made of in one writer's segments, and the places up to which that was counted, by segment."""

    ends: dict[int, int] = field(default_factory=dict)
    lines: int = 0
    bytes: int = 0

    @classmethod
    def of(cls, facts: dict[str, Any], epoch: str) -> Damage:
        told = (facts.get("damage") or {}).get(epoch)
        if told is None:
            return cls()
        # before there was a place for each segment: number, offset, lines, bytes
        pairs, lines, size = told if len(told) == 3 else ([told[:2]], *told[2:])
        return cls(dict(pairs), lines, size)

    def to_fact(self) -> list[Any]:
        return [[[n, end] for n, end in sorted(self.ends.items())], self.lines, self.bytes]


def sensible(facts: dict[str, Any]) -> dict[str, Any]:
    """Those of a kind that this version can go on with; what it does not know by name is left as it is."""
    return {name: value for name, value in facts.items() if name not in _CHECKS or _CHECKS[name](value)}


def is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    """Without half a surrogate pair, which could not be sent or shown."""
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value


def _is_optional_text(value: object) -> bool:
    return value is None or _is_text(value)


def _is_optional_count(value: object) -> bool:
    return value is None or is_count(value)


def _is_pair_of_texts(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))


def _is_word(value: object) -> bool:
    """A status that was told: alone, or with its time."""
    return _is_optional_text(value) or (
        isinstance(value, list) and len(value) == 2 and all(map(_is_optional_text, value))
    )


def _of_each(check: Callable[[Any], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or (isinstance(value, dict) and all(map(check, value.values())))


def _is_end(end: object) -> bool:
    if not isinstance(end, dict) or not _is_optional_text(end.get("status")):
        return False
    return all(isinstance(end[name], kind) for name, kind in _END.items() if name in end)


def _is_refused(word: object) -> bool:
    """A session's last word that its server refused: what was to be sent, and what it is known by."""
    return word is None or (isinstance(word, dict) and isinstance(word.get("fields"), dict) and "mark" in word)


def _is_damage(told: object) -> bool:
    if not isinstance(told, list) or not all(map(is_count, told[1:])):
        return False
    if len(told) == 4:
        return is_count(told[0])
    return len(told) == 3 and isinstance(told[0], list) and all(map(_is_place, told[0]))


def _is_place(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(map(is_count, pair))


def _is_loss(loss: object) -> bool:
    return isinstance(loss, list) and len(loss) == 2 and is_count(loss[0]) and isinstance(loss[1], dict)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    ENDS: _of_each(_is_end),
    "create": _is_optional_text,
    "damage": _of_each(_is_damage),
    "dropped": _of_each(_is_loss),
    "forgotten": _of_each(is_count),
    "generation": is_count,
    "given_up": is_count,
    "missing": _of_each(is_count),
    "omitted": _is_optional_count,
    "refused": _is_refused,
    "said": is_count,
    "server_id": _is_optional_text,
    "status_sent": _is_word,
    "stopped": _is_optional_text,
    "to": _is_pair_of_texts,
    "trouble": _is_optional_text,
    "unsupported": is_count,
}
