"""A spool beside the soak's, on a disk that loses its power under a job and a sync again and again; the house and the way to it are one."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from tests.support import oracle
from tests.support.waiting import wait_until
from tortures import places
from tortures.disks import FLUSH_LOG, FLUSH_NOTHING, Disk
from tortures.field import Field

__all__ = ["SIZE", "PowerCuts"]

SIZE = 128 << 10  # KiB
_NAME = "cut."
_JOB = """
import time
work = Work(book, sys.argv[2], sys.argv[3], sys.argv[3])
work.flush()
for n in range(0, 300, 10):
    work.some(10, start=n)
    if work.chance.random() < 0.3: work.flush()
    time.sleep(0.05)
sys.stdin.readline()
"""
_LAST = """
work = Work(book, sys.argv[2], "after", 0)
work.some(20)
assert work.flush()
work.finish()
"""


class PowerCuts:
    """What a flush was True for is there afterwards, and nothing twice."""

    def __init__(self, field: Field, chance: random.Random, disk: Disk) -> None:
        self._on = field
        self._chance = chance
        self._disk = disk
        self._home = field.place(disk.path / "home")
        self._account = oracle.Account()
        self._lives = 0
        self._ledger = Path()
        self._running: list[subprocess.Popen[str]] = []

    def cut(self) -> None:
        if not self._running:
            self._begin()
            wait_until(lambda: self._told() > 0, what="the job's first record")
        # what the job was told after that moment, no real one would have heard
        told = self._told()
        self._disk.lose_power(self._chance.choice([FLUSH_LOG, FLUSH_NOTHING]))
        self._end(told)
        self._disk.unmount()
        self._disk.mount()
        self._begin()

    def judge(self) -> None:
        """Once the network is well: what is logged now goes into the same sessions, behind whatever the failures left of them."""
        if not self._running:
            return
        self._end(self._told())
        trial, home, number = self._on.trial, self._home, self._on.trial.made
        of_spool = oracle.judge(self._account, oracle.in_spool(home.spool), promised_only=True)
        trial.require(of_spool.good, number, f"power cuts, in the spool: {of_spool.text()}")
        ledger = self._next_ledger()
        home.job(places.WORK + _LAST, str(ledger), _NAME)
        home.run("deadletters", "retry", str(home.spool))
        places.check_sync(trial, number, places.sync_until_done(home, tries=2), code=None)
        found = places.verdict(self._on.house, _NAME, self._account.add(ledger), promised_only=True)
        trial.add(number, found, "power cuts:")
        places.check_verify_torn(trial, number, home, self._on.house, _NAME, "power cuts:")

    def _next_ledger(self) -> Path:
        self._lives += 1
        self._ledger = self._on.trial.home / f"{_NAME}{self._lives}.ledger"
        return self._ledger

    def _begin(self) -> None:
        words = (str(self._next_ledger()), _NAME, f"life{self._lives}")
        sync = self._home.start("sync", str(self._home.spool), prefix=(), **places.SMALL)
        self._running = [self._home.start_job(places.WORK + _JOB, *words), sync]

    def _end(self, told: int) -> None:
        for process in self._running:
            process.kill()
            process.communicate()
        self._account.add(self._ledger, told)

    def _told(self) -> int:
        return os.path.getsize(self._ledger) if self._ledger.exists() else 0
