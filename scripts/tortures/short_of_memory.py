"""Jobs of the soak that the kernel kills for the memory that they take."""

from __future__ import annotations

import random
import signal
import subprocess
import sys

from tortures import endings, memory
from tortures.field import Field
from tortures.lives import Life

__all__ = ["ShortOfMemory"]

_MEMORY = 64 << 20  # bytes that a job may have more than it had
_ENDING = "killed for memory"


class ShortOfMemory:
    """Each is one of row 12's; Unavailable where memory cannot be limited."""

    def __init__(self, field: Field, chance: random.Random) -> None:
        self._on = field
        self._chance = chance
        self._made = 0
        self._script = field.trial.home / "memory.py"
        self._script.write_text(endings.SCRIPT)
        with memory.limited(_MEMORY):
            pass

    def kill(self) -> bool:
        """A job from its beginning to its end; all that it logged is there."""
        if self._on.cramped:
            return False
        self._made += 1
        name, how = f"soak-memory-{self._made}.", self._chance.choice(endings.STARTS)
        ledger = self._on.trial.home / f"{name}ledger"
        with memory.limited(_MEMORY) as group:
            job = subprocess.Popen(
                [sys.executable, str(self._script), str(ledger), name, how, _ENDING],
                env={**self._on.home.environ, "MEMORY_GROUP": str(group.procs)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            life = Life(job, name, ledger, "ways", f"{how}, {_ENDING}", endings.codes(_ENDING))
            self._on.ended(life)
            is_by_kernel = group.kills() == 1 or job.returncode != -signal.SIGKILL
            self._on.trial.require(is_by_kernel, self._on.trial.made, f"{life.what}: the kernel killed nobody")
        self._on.lives.append(life)
        return True
