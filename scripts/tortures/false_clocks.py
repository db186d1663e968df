"""Clocks of single processes that show what they are told to, by libfaketime: the kernel's, of its files and monotonic, stay true."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from tests.support.house import ROOT

LEEWAY = 15 * 3600  # seconds: what "@" says is local time
_SHARED = Path("/dev/shm")


def seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def shown(jump: str) -> float:
    """What a clock shows now that was made to jump so."""
    if jump.startswith("@"):
        return datetime.strptime(jump, "@%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    return time.time() + int(jump[:-1]) * 86400 * (365 if jump.endswith("y") else 1)


def following(clock: Path) -> dict[str, str]:
    """For a process whose clock is, at any time, as this file says."""
    return {**faked(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}


def faked() -> dict[str, str]:
    """What ``faketime`` itself sets: its library, before all others; monotonic clocks stay true."""
    _sweep()
    return {
        "LD_PRELOAD": _library(),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONFAULTHANDLER": "1",
        # libfaketime refuses the sleep of Python 3.11 and later, not that of earlier ones: see the file there
        "PYTHONPATH": f"{Path(__file__).with_name('sleeping')}:{ROOT}",
    }


@cache
def _library() -> str:
    shown = subprocess.run(["faketime", "-m", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    return next(line for line in shown.splitlines() if line.startswith("LD_PRELOAD=")).partition("=")[2]


def _sweep() -> None:
    """What libfaketime shared in processes that were killed: one that is given the same pid fails on it."""
    for left in _SHARED.glob("*faketime_s*_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)
