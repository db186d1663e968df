"""The soak's disk, or its table of inodes, which is full for some blows."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable

from tortures.disks import Disk
from tortures.field import Field

__all__ = ["INODES", "SPACE", "Fullness"]

SPACE = 4 << 20  # KiB
INODES = 4 << 20
_SLACK = 256  # KiB, soon used up
_FEW = 16  # inodes


class Fullness:
    """``later``: have something done after so many blows."""

    def __init__(
        self, field: Field, chance: random.Random, disk: Disk, later: Callable[[int, Callable[[], None]], None]
    ) -> None:
        self._on = field
        self._chance = chance
        self._disk = disk
        self._later = later

    def of_bytes(self) -> bool:
        """All that jobs and agents write fails."""
        if self._on.cramped:
            return False
        self._cramp()
        found = os.statvfs(self._disk.path)
        self._disk.resize((found.f_blocks - found.f_bfree) * found.f_frsize // 1024 + _SLACK)
        self._later(self._chance.randint(5, 20), self._make_space)
        return True

    def of_inodes(self) -> bool:
        """No file can be made: no session, no segment, no lease."""
        if self._on.cramped:
            return False
        self._cramp()
        found = os.statvfs(self._disk.path)
        self._allow(found.f_files - found.f_ffree + _FEW)
        self._later(self._chance.randint(5, 20), self._make_inodes)
        return True

    def _cramp(self) -> None:
        self._on.cramped = True
        for life in self._on.jobs.values():
            life.cramped = True

    def _make_space(self) -> None:
        self._disk.resize(SPACE)
        self._on.cramped = False

    def _make_inodes(self) -> None:
        self._allow(INODES)
        self._on.cramped = False

    def _allow(self, inodes: int) -> None:
        """A tmpfs has so many from now on; never fewer than are used."""
        subprocess.run(["mount", "-o", f"remount,nr_inodes={inodes}", str(self._disk.path)], check=True)
