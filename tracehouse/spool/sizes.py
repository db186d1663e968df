"""How amounts of bytes are written. Pure."""

from __future__ import annotations

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1000, "kib": 1 << 10, "m": 10**6, "mb": 10**6, "mib": 1 << 20}
_UNITS.update({"g": 10**9, "gb": 10**9, "gib": 1 << 30, "t": 10**12, "tb": 10**12, "tib": 1 << 40})
_RIGHT = "should be bytes, or a number with a unit, such as 500k or 2GiB"


def parse(raw: object) -> int:
    """Bytes: a number, or one with k, M, G (thousands) or KiB, MiB, GiB. At least 1, else ValueError."""
    told = str(raw).strip() if isinstance(raw, (int, float, str)) and not isinstance(raw, bool) else ""
    number = told.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = _UNITS.get(told[len(number) :].lower())
    whole, point, part = number.strip().partition(".")
    right = (whole + part).isascii() and whole.isdigit() and (part.isdigit() if point else not part)
    found = float(number) * unit if right and unit is not None else 0.0
    if not 1 <= found < float("inf"):
        raise ValueError(_RIGHT)
    return int(found)
