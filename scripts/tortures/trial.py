"""One row under way: its points, each with chances of its own, and the sum of their verdicts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support.oracle import Verdict


class Unavailable(Exception):
    """What a row needs is not here; says what. Before a row's first point only: later it tells of a fault."""


class Missing(NamedTuple):
    """``need``: a tool or ``root``; ``what``: the part of a row that was not made for lack of it."""

    need: str
    what: str

    def __str__(self) -> str:
        return f"NOT RUN: {self.what}: needs {self.need}"


@dataclass
class Trial:
    """``home``: an empty directory. ``only``: the one point to make. ``minutes`` end it earlier than ``count`` would."""

    home: Path
    seed: int = 1
    count: int = 10
    only: int | None = None
    minutes: float | None = None
    loud: bool = False
    made: int = 0
    emitted: int = 0
    lost: int = 0
    duplicated: int = 0
    invented: int = 0
    dropped: int = 0
    violations: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def attempt(self, row: Callable[[Trial], None]) -> str:
        """Make a row: why it cannot be made here, or nothing. Whatever came before stays in ``violations``."""
        try:
            row(self)
        except Unavailable as reason:
            if self.made == 0 and not self.violations:
                return str(reason)
            self.violated(self.made, f"broke off: {reason}")
        return ""

    def lacks(self, need: str, what: str) -> None:
        """Part of the row cannot be made here: it counts as failed, unless whoever runs it says otherwise."""
        self.missing.append(Missing(need, what))
        if self.loud:
            print(f"  {self.missing[-1]}", flush=True)

    def points(self) -> Iterator[tuple[int, random.Random]]:
        """Numbers and the chances of each, the same whichever others are made."""
        told = time.monotonic()
        for number in range(self.count) if self.only is None else (self.only,):
            if self.is_over:
                return
            yield number, random.Random(f"{self.seed}/{number}")
            self.made += 1
            if self.loud and time.monotonic() - told > 5:
                told = time.monotonic()
                print(f"  {self.made} points, {len(self.violations)} violations", flush=True)

    @property
    def is_over(self) -> bool:
        return self.minutes is not None and time.monotonic() - self.began > self.minutes * 60

    def add(self, number: int, verdict: Verdict, where: str = "") -> None:
        """The verdict on a point, or on several made together (``number``: the last of them)."""
        self.emitted += verdict.emitted
        self.dropped += min(verdict.dropped, len(verdict.lost))
        self.lost += max(0, len(verdict.lost) - verdict.dropped)
        self.duplicated += len(verdict.duplicated)
        self.invented += len(verdict.invented)
        if not verdict.good:
            self.violated(number, f"{where} {verdict.text()}".strip())

    def violated(self, number: int, what: str) -> None:
        self.violations.append((number, what))
        if self.loud:
            print(f"  VIOLATED at point {number}: {what}", flush=True)

    def require(self, holds: bool, number: int, what: str) -> None:
        if not holds:
            self.violated(number, what)

    def summary(self, row: str) -> str:
        told = f", {self.dropped} told dropped" if self.dropped else ""
        other = f", {len(self.violations)} violations" if self.violations else ""
        notes = "".join(f" ({note})" for note in (*self.notes, *self.missing))
        return (
            f"row {row}: {self.made} points, {self.emitted} records, {self.lost} lost{told}, {self.duplicated} duplicated, "
            f"{self.invented} invented{other}, seed {self.seed}, {time.monotonic() - self.began:.0f} s{notes}"
        )
