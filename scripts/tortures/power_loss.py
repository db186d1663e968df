"""Row 5: the power fails under a job and a sync; what a flush was True for is there afterwards, and nothing twice."""

from __future__ import annotations

import os
import random
import subprocess

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.waiting import wait_until
from tortures import places
from tortures.disks import FLUSH_LOG, FLUSH_NOTHING, Disk, mounted, need
from tortures.trial import Trial

TITLE = "power loss on ext4 (three data modes) and xfs: what flush() was True for survives"
COUNT = 400
KINDS = (("ext4", "data=ordered"), ("ext4", "data=journal"), ("ext4", "data=writeback"), ("xfs", ""))
_SIZES = {"ext4": 32 << 10, "xfs": 320 << 10}
_JOB = """
work = Work(book, sys.argv[2], sys.argv[3], sys.argv[3])
work.flush()
n = 0
while True:
    work.some(20, start=n); n += 20
    if work.chance.random() < 0.3: work.flush()
"""
_LAST = """
work = Work(book, sys.argv[2], "after", 0)
work.some(20)
assert work.flush()
work.finish()
"""


def run(trial: Trial) -> None:
    need(trial.home, *((kind, options, _SIZES[kind]) for kind, options in KINDS))
    with places.a_house(trial) as house:
        for number, chance in trial.points():
            _point(trial, house, number, chance)


def _point(trial: Trial, house: House, number: int, chance: random.Random) -> None:
    kind, options = KINDS[number % len(KINDS)]
    how = chance.choice([FLUSH_LOG, FLUSH_NOTHING])
    where = f"{kind} {options} flag {how}:"
    with mounted(trial.home / str(number), kind, options=options, size=_SIZES[kind]) as disk:
        home = places.place(disk.path / "home", house)
        name = f"power-{trial.seed}-{number}"
        account = oracle.Account()
        for life in range(chance.randint(1, 2)):
            ledger = trial.home / f"{number}-{life}.ledger"
            # what the job was told after that moment, no real one would have heard
            account.add(ledger, _life(home, disk, chance, how, str(ledger), name, f"life{life}"))
        of_spool = oracle.judge(account, oracle.in_spool(home.spool), promised_only=True)
        trial.require(of_spool.good, number, f"{where} in the spool: {of_spool.text()}")
        # what is logged now goes into the same sessions, behind whatever the failure left of them
        ledger = trial.home / f"{number}-last.ledger"
        home.job(places.WORK + _LAST, str(ledger), name)
        places.check_sync(trial, number, places.sync_until_done(home, tries=2), code=None)
        found = places.verdict(house, name, account.add(ledger), promised_only=True)
        trial.add(number, found, where)
        places.check_verify_torn(trial, number, home, house, name, where)


def _life(home: Home, disk: Disk, chance: random.Random, how: int, ledger: str, name: str, tag: str) -> int:
    """A job, perhaps with a sync beside it, up to a power failure; then the disk is mounted again. Size of the ledger at the failure."""
    job = home.start_job(places.WORK + _JOB, ledger, name, tag)
    wanted = chance.randint(1, 600)
    others: list[subprocess.Popen[str]] = []
    try:
        wait_until(lambda: _lines(ledger) >= min(wanted, 20), what=lambda: f"the job's records; {job.poll()}")
        if chance.random() < 0.6:
            others.append(home.start("sync", str(home.spool), prefix=(), **places.SMALL))
        wait_until(lambda: _lines(ledger) >= wanted, what=lambda: f"the job's records; {job.poll()}")
        told = os.path.getsize(ledger)
        disk.lose_power(how)
    finally:
        for process in (job, *others):
            process.kill()
            process.communicate()
    disk.unmount()
    disk.mount()
    return told


def _lines(ledger: str) -> int:
    try:
        with open(ledger, "rb") as file:
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0
