"""Row 6 for jobs: what they were told to be safe, as a power failure after any of their calls leaves it; and through a real sync, which
takes what several of them left at once."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from tests.support import jobs, oracle
from tests.support.home import Home
from tests.support.house import House
from tortures import places
from tortures.calls import Call, traced
from tortures.lost_writes import Disk
from tortures.trial import Trial
from tracehouse.spool import layout

__all__ = ["JobHistory", "Together"]

_JOB = """
import os, sys
from tests.support.ledger import Ledger
from tests.support.workload import Work
work = Work(Ledger(sys.argv[1]), sys.argv[2], "a", sys.argv[2])
work.some(40)
work.flush()
work.media(100)
work.flush()
work.some(20, start=200)
work.finish()
work.flush()
os._exit(0)
"""
# goes on in sessions of these names, behind whatever the failure left of them
_LATER = """
from tests.support.ledger import Ledger
from tests.support.workload import Work
for name in sys.argv[2:]:
    work = Work(Ledger(f"{sys.argv[1]}{name}"), name, "later", name)
    work.some(5)
    assert work.flush()
    work.finish()
"""
_MOST = 20
# whatever they log goes nowhere by itself
_NOWHERE = "http://127.0.0.1:9"


class JobHistory:
    """The calls of one job whose package lies in ``source``."""

    def __init__(self, home: Path, name: str, source: Path = jobs.ROOT) -> None:
        self.name = name
        self._root = os.path.realpath(home / name)
        self._ledger = f"{self._root}.ledger"
        os.mkdir(self._root)
        environ = jobs.environ(f"{self._root}/spool", PYTHONPATH=str(source), TRACEHOUSE_API_BASE=_NOWHERE)
        command = [sys.executable, "-c", _JOB, self._ledger, name]
        calls = traced(command, environ, home / f"{name}.calls", source)
        self.calls = [call for call in calls if call.paths and self._is_ours(call)]

    def _is_ours(self, call: Call) -> bool:
        inside = call.paths[0] == self._root or call.paths[0].startswith(self._root + "/")
        return inside or (call.paths[0] == self._ledger and call.name == "writev")

    def leave(self, end: int, target: Path, variant: str, chance: random.Random) -> None:
        """Write what a failure after so many calls leaves."""
        on_files = [call for call in self.calls[:end] if call.paths[0] != self._ledger]
        Disk(self._root).apply_all(on_files).leave(target, variant, chance)

    def judge(self, end: int, left: Path) -> oracle.Verdict:
        """On what the job had been told to be safe by then."""
        spool = left / "spool"
        found = oracle.in_spool(spool) if spool.exists() else Counter()
        return oracle.judge(self.told(end), found, promised_only=True)

    def told(self, end: int) -> oracle.Account:
        account = oracle.Account()
        for call in self.calls[:end]:
            if call.paths[0] == self._ledger:
                account.note(json.loads(call.data))
        return account


class _Left(NamedTuple):
    number: int
    where: str
    name: str
    account: oracle.Account


class Together:
    """Disks that jobs of different names left, in one spool, which goes through one real sync; to ``house`` as long as nothing of those
    jobs is there, then to houses of their own."""

    def __init__(self, trial: Trial, house: House) -> None:
        self._trial, self._house = trial, house
        self._histories: dict[int, JobHistory] = {}
        self._left: list[_Left] = []
        self._home = trial.home / "together"
        self.synced = 0

    def history(self, at: int) -> JobHistory:
        """Of the job whose disk is the ``at``-th: no two that are synced at once are of one job."""
        at %= _MOST
        if at not in self._histories:
            # no name begins another one
            self._histories[at] = JobHistory(self._trial.home, f"together-{self._trial.seed}-{at:02}.")
        return self._histories[at]

    def add(self, number: int, where: str, history: JobHistory, end: int, left: Path) -> None:
        """What lies in ``left`` is taken away."""
        _move_into(left, self._home)
        self._left.append(_Left(number, where, history.name, history.told(end)))
        if len(self._left) == _MOST:
            self.sync()

    def sync(self) -> None:
        """All that was added since the last time."""
        if not self._left:
            return
        self._home.mkdir(exist_ok=True)
        is_first = self.synced == 0
        with nullcontext(self._house) if is_first else places.a_house(self._trial, f"house-{self.synced}") as house:
            home = Home(self._home, _NOWHERE).with_key(house.key)
            self._log_later(home)
            self._check(home, house)
        shutil.rmtree(self._home)
        self.synced += len(self._left)
        self._left = []

    def _log_later(self, home: Home) -> None:
        """Every second of the jobs comes back once the power has."""
        later = self._left[::2]
        ledger = f"{self._home}/ledger-"
        for manifest in home.spool.glob(f"*/{layout.MANIFEST}"):
            os.utime(manifest, (0, 0))  # no power is back so soon that somebody may still be writing it
        home.job(_LATER, ledger, *(left.name for left in later))
        for left in later:
            left.account.add(f"{ledger}{left.name}")

    def _check(self, home: Home, house: House) -> None:
        trial, last = self._trial, self._left[-1].number
        to = ("--api-base", house.url)
        places.check_sync(trial, last, home.sync(*to, "--close-dead"), code=None)
        with house.client() as client:
            held = oracle.in_house(client)
        for number, where, name, account in self._left:
            own = Counter({item: count for item, count in held.items() if item[1].startswith(name)})
            found = oracle.judge(account, own, promised_only=True)
            trial.require(found.good, number, f"{where} synced: {found.text()}")
        places.check_verify_torn(trial, last, home, house, "", "synced:", *to)


def _move_into(source: Path, target: Path) -> None:
    """What is in a directory beside what is in another one already; files that have two names keep them."""
    target.mkdir(mode=0o700, exist_ok=True)
    for path in source.iterdir():
        beside = target / path.name
        if path.is_dir() and beside.exists():
            _move_into(path, beside)
        else:
            path.rename(beside)
    source.rmdir()
