"""Leases, as they lie in a spool: who holds one, and one whose holder was stopped for too long."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

_BEYOND = 600.0  # seconds, in which any lease expires


def holder_of(path: Path) -> tuple[int, str] | None:
    try:
        fields = json.loads(path.read_text())
        return fields["pid"], fields["token"]
    except (OSError, ValueError):
        return None


def grow_old(path: Path) -> None:
    """As if its holder had been stopped for so long: no heartbeat came."""
    then = time.time() - _BEYOND
    try:
        os.utime(path, (then, then))
    except FileNotFoundError:
        return
