"""Sessions in the soak's spool whose segments are damaged: only what was hit is missing, and that is told."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tests.support import jobs, oracle
from tortures import places
from tortures.field import Field
from tortures.lives import Life
from tracehouse.spool import manifest

__all__ = ["Wounds"]

_JOB = """
work = Work(book, sys.argv[2], "hurt", sys.argv[2])
for n in range(40):
    work.point(n); work.span(n)
work.finish()
"""
_KINDS = 4  # of damage


class Wounds:
    """Each is of sessions of its own, which no agent has seen before they are hurt."""

    def __init__(self, field: Field, chance: random.Random) -> None:
        self._on = field
        self._chance = chance
        self._made = 0
        self._scratch = field.home.spool.with_name("hurt")  # on the same disk, for a rename

    def put(self) -> bool:
        """A job that has ended, and what is left of it."""
        if self._on.cramped:
            return False
        self._made += 1
        name = f"soak-hurt-{self._made}."
        ledger = self._on.trial.home / f"{name}ledger"
        words = (places.WORK + _JOB, str(ledger), name)
        job = self._on.home.start_job(*words, prefix=(), TRACEHOUSE_SPOOL_DIR=str(self._scratch))
        life = Life(job, name, ledger, "hurt")
        self._on.ended(life)
        segments = {segment: segment.read_bytes() for segment in self._scratch.glob("*/*.jsonl")}
        for segment, whole in segments.items():
            foreign = next(other for other in segments if other != segment)
            of = manifest.read(str(segment.parent)).id
            life.damaged[of] = self._hurt(segment, whole, segments[foreign].split(b"\n")[1])
        life.left = set(oracle.in_spool(self._scratch))
        self._on.lives.append(life)
        for session in jobs.sessions(self._scratch):
            session.rename(self._on.home.spool / session.name)
        shutil.rmtree(self._scratch)
        return True

    def _hurt(self, segment: Path, whole: bytes, foreign: bytes) -> int:
        """How many bytes are no record any more. ``foreign``: a line of another session's."""
        data = bytearray(whole)
        for kind in self._chance.choices(range(_KINDS), k=self._chance.randint(1, 3)):
            _damage(data, kind, self._chance, foreign)
        segment.write_bytes(data)
        known = set(whole.split(b"\n"))
        return len(data) - sum(len(line) + 1 for line in bytes(data).split(b"\n")[:-1] if line in known)


def _damage(data: bytearray, kind: int, chance: random.Random, foreign: bytes) -> None:
    if len(data) < 2:
        return
    at = chance.randrange(1, len(data))
    if kind == 0:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        size = min(chance.randint(1, 1000), len(data) - at)
        data[at : at + size] = b"\0" * size
    elif kind == 2:
        start = data.rfind(b"\n", 0, at) + 1
        data[start:start] = foreign + b"\n"
    elif data[at - 1 : at] != b"\n":  # nothing tells of whole lines that are gone from the end
        del data[at:]
