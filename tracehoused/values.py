"""How settings are written: durations, sizes, counts. Pure; a value that cannot be right is a ValueError that says what would be."""

from __future__ import annotations

import os
import re
import shlex
from typing import Callable

from tracehouse.spool import sizes

__all__ = ["choice", "command", "count", "duration", "flag", "path", "paths", "port", "rate", "size", "text"]

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")


def _scaled(raw: object, units: dict[str, int], right: str) -> float:
    number, unit = (raw, "") if isinstance(raw, (int, float)) and not isinstance(raw, bool) else _split(raw)
    try:
        scaled = float(number) * units[unit]
    except (KeyError, ValueError, OverflowError):
        raise ValueError(right) from None
    if not 0 <= scaled < float("inf"):
        raise ValueError(right)
    return scaled


def _split(raw: object) -> tuple[str, str]:
    found = _NUMBER.fullmatch(raw.strip()) if isinstance(raw, str) else None
    return (found[1], found[2].lower()) if found is not None else ("", "")


def duration(raw: object) -> float:
    """Seconds: a number, or one with s, m, h or d."""
    return _scaled(raw, _SECONDS, "should be seconds, or a number with s, m, h or d, such as 10m")


def size(raw: object) -> int:
    """Bytes: a number, or one with k, M, G (thousands) or KiB, MiB, GiB. At least 1."""
    return sizes.parse(raw)


def rate(raw: object) -> float:
    """Bytes per second, written as a size, "/s" behind it or not."""
    bare = raw.strip()[:-2] if isinstance(raw, str) and raw.strip().endswith("/s") else raw
    return float(size(bare))


def count(raw: object) -> int:
    """A whole number of at least 1."""
    right = "should be a whole number of at least 1"
    whole = raw.strip() if isinstance(raw, str) else raw if type(raw) is int else ""
    if not re.fullmatch(r"[0-9]{1,18}", str(whole)) or int(whole) < 1:
        raise ValueError(right)
    return int(whole)


def port(raw: object) -> int:
    """A TCP port, 1 to 65535."""
    try:
        found = count(raw)
    except ValueError:
        found = 0
    if not 0 < found < 65536:
        raise ValueError("should be a port, 1 to 65535")
    return found


def flag(raw: object) -> bool:
    """True or false, also as 1/0, yes/no, on/off."""
    told = str(raw).strip().lower() if isinstance(raw, (bool, str, int)) else ""
    if told not in (*_YES, *_NO):
        raise ValueError("should be true or false")
    return told in _YES


def text(raw: object) -> str:
    """Any text that is not empty."""
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("should be a text")
    return raw.strip()


def path(raw: object) -> str:
    """A path; ``~`` is the user's home, the rest is below the working directory unless it is absolute."""
    told = os.fspath(raw) if isinstance(raw, os.PathLike) else raw
    if not isinstance(told, str) or not told or "\0" in told:
        raise ValueError("should be a path")
    return os.path.abspath(os.path.expanduser(told))


def paths(raw: object) -> tuple[str, ...]:
    """A path or a list of them; each may have ``*`` and ``?`` in it."""
    told = list(raw) if isinstance(raw, (list, tuple)) else [raw]
    if not told:
        raise ValueError("should be a path, or a list of paths")
    return tuple(path(one) for one in told)


def command(raw: object) -> tuple[str, ...]:
    """A program and its arguments: a list, or a text that is split as a shell would; no shell ever runs it."""
    told = shlex.split(raw) if isinstance(raw, str) else raw
    if not isinstance(told, (list, tuple)) or not told or not all(isinstance(word, str) for word in told):
        raise ValueError('should be a command, such as ["notify-send", "tracehouse"]')
    return tuple(told)


def choice(*allowed: str) -> Callable[[object], str]:
    """One of these words."""

    def parse(raw: object) -> str:
        told = raw.strip().lower() if isinstance(raw, str) else ""
        if told not in allowed:
            raise ValueError(f"should be one of {', '.join(allowed)}")
        return told

    return parse
