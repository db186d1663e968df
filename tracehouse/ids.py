"""Random ids, each from the system's own randomness, fetched for many at a time; a forked child draws its own."""

from __future__ import annotations

import os

_AT_ONCE = 256

# 32 hex digits each; pop() hands every one to a single thread
_pool: list[str] = []
_VARIANT = {digit: "89ab"[n % 4] for n, digit in enumerate("0123456789abcdef")}


def _draw() -> str:
    digits = os.urandom(16 * _AT_ONCE).hex()
    drawn = [digits[i : i + 32] for i in range(0, 32 * _AT_ONCE, 32)]
    mine = drawn.pop()
    _pool.extend(drawn)
    return mine


def uuid4() -> str:
    """A random UUID (RFC 9562, version 4), as 36 lower-case characters."""
    try:
        h = _pool.pop()
    except IndexError:
        h = _draw()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}"


def hex_id(digits: int) -> str:
    """That many random hex digits, lower case."""
    return os.urandom((digits + 1) // 2).hex()[:digits]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.clear)
