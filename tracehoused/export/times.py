"""Times as spools hold them (ISO 8601), as numbers. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["nanoseconds"]

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?\s*(?:[Zz]|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def nanoseconds(text: object) -> int | None:
    """Nanoseconds since 1970 of a time; one without an offset is UTC. None for what is no time."""
    found = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        return None
    year, month, day, hour, minute = (int(part) for part in found.groups()[:5])
    try:
        at = datetime(year, month, day, hour, minute, min(int(found[6] or 0), 59), tzinfo=timezone.utc)
        offset = timedelta(hours=int(found[9] or 0), minutes=int(found[10] or 0))
        seconds = (at - _EPOCH - (-offset if found[8] == "-" else offset)) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return seconds * 1_000_000_000 + int((found[7] or "").ljust(9, "0"))
