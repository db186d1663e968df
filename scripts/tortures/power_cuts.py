"""A spool beside the soak's, on a disk that loses its power under its jobs and its agent again and again; the house and the way to it
are one."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from pathlib import Path

from tests.support import oracle
from tests.support.waiting import wait_until
from tortures import places
from tortures.disks import FLUSH_LOG, FLUSH_NOTHING, Disk
from tortures.field import Field
from tortures.weather import PATIENCE

__all__ = ["SIZE", "PowerCuts"]

SIZE = 128 << 10  # KiB
_NAMES = ("cut-0.", "cut-1.")  # of jobs at a time
_JOB = """
import time
work = Work(book, sys.argv[2], sys.argv[3], sys.argv[3])
work.flush()
for n in range(0, 300, 10):
    work.some(10, start=n)
    if work.chance.random() < 0.3: work.flush()
    time.sleep(work.chance.uniform(0.01, 0.3))
sys.stdin.readline()
"""
_LAST = """
work = Work(book, sys.argv[2], "after", 0)
work.some(20)
assert work.flush()
work.finish()
"""


class PowerCuts:
    """What a flush was True for is there afterwards, and nothing twice. ``_ledgers``: of the jobs that run, by name."""

    def __init__(self, field: Field, chance: random.Random, disk: Disk) -> None:
        self._on = field
        self._chance = chance
        self._disk = disk
        self._home = field.place(disk.path / "home")
        self._accounts = {name: oracle.Account() for name in _NAMES}
        self._lives = 0
        self._ledgers: dict[str, Path] = {}
        self._running: list[subprocess.Popen[str]] = []

    def cut(self) -> None:
        if not self._running:
            self._begin()
            wait_until(lambda: all(self._told().values()), what="the jobs' first records")
        ended = [one.args for one in self._running if one.poll() is not None]
        self._on.trial.require(not ended, self._on.trial.made, f"power cuts: ended before: {ended} {self._log()}")
        # what a job was told after that moment, no real one would have heard
        told = self._told()
        self._disk.lose_power(self._chance.choice([FLUSH_LOG, FLUSH_NOTHING]))
        self._end(told)
        self._disk.unmount()
        self._disk.mount()
        self._begin()

    def rest(self) -> None:
        """There is no other cut."""
        if self._running:
            self._end(self._told())
            self._running = []

    def judge(self) -> None:
        """Once the network is well: what is logged now goes into the same sessions, behind whatever the failures left of them."""
        if not self._ledgers:
            return
        trial, home, number = self._on.trial, self._home, self._on.trial.made
        trial.require("Traceback" not in self._log(), number, f"power cuts: an agent broke off: {self._log()}")
        held = oracle.in_spool(home.spool)
        for name, account in self._accounts.items():
            of_spool = oracle.judge(account, _of(name, held), promised_only=True)
            trial.require(of_spool.good, number, f"power cuts, in the spool: {of_spool.text()}")
            ledger = self._next_ledger(name)
            home.job(places.WORK + _LAST, str(ledger), name)
            account.add(ledger)
        home.run("deadletters", "retry", str(home.spool))
        places.check_sync(trial, number, places.sync_until_done(home, tries=2), code=None)
        for name, account in self._accounts.items():
            trial.add(number, places.verdict(self._on.house, name, account, promised_only=True), "power cuts:")
        places.check_verify_torn(trial, number, home, self._on.house, "cut-", "power cuts:")

    def _next_ledger(self, name: str) -> Path:
        self._lives += 1
        self._ledgers[name] = self._on.trial.home / f"{name}{self._lives}.ledger"
        return self._ledgers[name]

    def _begin(self) -> None:
        agent = self._home.start_agent(TRACEHOUSE_TIMEOUT=PATIENCE, **places.SMALL)
        words = [(str(self._next_ledger(name)), name, f"life{self._lives}") for name in _NAMES]
        self._running = [agent, *(self._home.start_job(places.WORK + _JOB, *one) for one in words)]

    def _end(self, told: dict[str, int]) -> None:
        for process in self._running:
            process.kill()
            process.communicate()
        for name, ledger in self._ledgers.items():
            self._accounts[name].add(ledger, told[name])

    def _told(self) -> dict[str, int]:
        """How much of each ledger there is."""
        return {name: os.path.getsize(one) if one.exists() else 0 for name, one in self._ledgers.items()}

    def _log(self) -> str:
        """What the agents said, as far as it was not lost."""
        path = self._home.directory / "agent.log"
        return path.read_text(errors="replace")[-1500:] if path.exists() else ""


def _of(name: str, held: Counter[oracle.Item]) -> Counter[oracle.Item]:
    return Counter({item: count for item, count in held.items() if str(item[1]).startswith(name)})
