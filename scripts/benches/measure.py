"""Figures, medians, and what is known of the machine that they were taken on."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

__all__ = ["Figure", "Report", "alternate", "fsync_ms", "machine", "median", "quantile", "rss_mb"]


def quantile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` (0 to 1) of all lie at or below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(frozen=True)
class Figure:
    """One line of the table. ``target`` bounds the ratio where there is an ``other``, else ``ours``; from below where ``least``."""

    section: str
    what: str
    unit: str
    ours: float
    other: float | None = None
    versus: str = "floor"
    target: float | None = None
    least: bool = False
    ratio: float | None = None

    @property
    def times(self) -> float | None:
        """Ours over the other's; where ``ratio`` was measured pair by pair, that."""
        if self.ratio is not None or not self.other:
            return self.ratio
        return self.ours / self.other

    @property
    def verdict(self) -> str:
        found = self.ours if self.other is None else self.times
        if self.target is None or found is None:
            return ""
        return "ok" if (found >= self.target if self.least else found <= self.target) else "over"

    def to_dict(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "what": self.what,
            "unit": self.unit,
            "ours": self.ours,
            "other": self.other,
            "versus": self.versus if self.other is not None else None,
            "ratio": self.times,
            "target": self.target,
            "least": self.least,
            "verdict": self.verdict or None,
        }

    def row(self) -> str:
        other = "" if self.other is None else f"{_number(self.other)} {self.versus}"
        times = "" if self.times is None else f"{self.times:.2f}x"
        sign = "≥" if self.least else "≤"
        bound = "" if self.target is None else f"{sign} {_number(self.target)}{'x' if self.other is not None else ''}"
        ours = f"{_number(self.ours)} {self.unit}"
        return f"{self.section:8} {self.what:60} {ours:>16}  {other:26} {times:>7}  {bound:>11} {self.verdict}"


HEADING = f"{'section':8} {'what':60} {'ours':>16}  {'other':26} {'ratio':>7}  {'target':>11}"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


@dataclass
class Report:
    """Collects figures and prints each when it is there. ``quick`` and ``full`` say how much work a section should take on."""

    quick: bool = False
    full: bool = False
    section: str = ""
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, unit: str, ours: float, **more: Any) -> None:
        figure = Figure(self.section, what, unit, ours, **more)
        self.figures.append(figure)
        print(figure.row(), flush=True)

    def note(self, text: str) -> None:
        self.notes.append(f"{self.section}: {text}")
        print(f"{self.section:8} note: {text}", flush=True)

    def size(self, quick: int, usual: int, full: int | None = None) -> int:
        """How much of something to do."""
        if self.quick:
            return quick
        return full if self.full and full is not None else usual


def alternate(rounds: int, ours: Callable[[], Any], other: Callable[[], Any]) -> tuple[list[Any], list[Any]]:
    """Results of both, round by round, each first in every other round: what disturbs the machine disturbs both."""
    mine: list[Any] = []
    theirs: list[Any] = []
    for n in range(rounds):
        for run, results in ((ours, mine), (other, theirs))[:: 1 if n % 2 else -1]:
            results.append(run())
    return mine, theirs


def paired(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return median(a / b for a, b in zip(mine, theirs))


def fsync_ms(folder: str, times: int = 20) -> float:
    """Median time of a write of 4 KiB and its fdatasync there."""
    sync = getattr(os, "fdatasync", os.fsync)
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 4096)
            sync(file.fileno())
            taken.append(time.perf_counter() - began)
    return median(taken) * 1e3


def machine(folder: str) -> dict[str, Any]:
    """Cores, load, Python, system, and how long an fdatasync takes in ``folder``."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "fsync_ms": round(fsync_ms(folder), 3),
        "folder": folder,
    }


def rss_mb(pid: int | str = "self", *, peak: bool = False) -> float:
    """Resident memory of a process now, or at most so far, in MB; of this one only where there is no /proc."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) / 1000 for line in file if line.startswith(wanted))
    except (OSError, StopIteration):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 1e6 if sys.platform == "darwin" else most / 1e3
