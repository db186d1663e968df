"""Row 6: a power failure after any system call of a job, on a disk that keeps only what was fsynced, and any part of the rest.

The job's own calls are replayed, so neither root nor a special file system is needed. Three mutants of the emitter, which forget an
fsync or get the order wrong, show that the row finds such mistakes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support import jobs, oracle
from tests.support.home import Home
from tortures import places
from tortures.calls import Call, traced
from tortures.lost_writes import VARIANTS, Disk
from tortures.trial import Trial

TITLE = "un-fsynced data and names dropped after any system call; three mutants of the emitter are caught"
COUNT = 2000
_POINTS_OF_A_JOB = 250
_SYNCED_EVERY = 100
_MUTANT_POINTS = 250
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
MUTANTS = {
    "no fsync": ("durable.py", "        os.fdatasync(fd)\n", "        pass\n"),
    "no directory fsync": ("durable.py", "        os.fsync(fd)\n", "        pass\n"),
    "name without data": ("unsynced.py", "        self.files.insert(0, path)\n", ""),
}


def run(trial: Trial) -> None:
    history = None
    for number, chance in trial.points():
        if history is None or number % _POINTS_OF_A_JOB == 0:
            history = _History(trial.home, f"lost-{trial.seed}-{number // _POINTS_OF_A_JOB}", jobs.ROOT)
        _point(trial, history, number, chance)
    if trial.only is None:
        caught = [name for name in MUTANTS if _is_caught(trial, name)]
        trial.notes.append(f"mutants caught: {len(caught)} of {len(MUTANTS)}")
        trial.require(len(caught) == len(MUTANTS), trial.made, f"of the mutants only {caught} were caught")


class _History:
    """The calls of one job whose package lies in ``source``."""

    def __init__(self, home: Path, name: str, source: Path) -> None:
        self.name = name
        self.root = os.path.realpath(home / name)
        self.ledger = f"{self.root}.ledger"
        shutil.rmtree(self.root, ignore_errors=True)
        os.mkdir(self.root)
        Path(self.ledger).unlink(missing_ok=True)
        environ = jobs.environ(f"{self.root}/spool", PYTHONPATH=str(source), TRACEHOUSE_API_BASE="http://127.0.0.1:9")
        command = [sys.executable, "-c", _JOB, self.ledger, name]
        calls = traced(command, environ, home / f"{name}.calls", source)
        self.calls = [call for call in calls if call.paths and self._is_ours(call)]

    def _is_ours(self, call: Call) -> bool:
        inside = call.paths[0] == self.root or call.paths[0].startswith(self.root + "/")
        return inside or (call.paths[0] == self.ledger and call.name == "writev")

    def until(self, end: int) -> tuple[Disk, oracle.Account]:
        """The disk after so many calls, and what the job had been told by then."""
        disk, account = Disk(self.root), oracle.Account()
        covered: dict[int, tuple[int, int]] = {}
        for at in self._moments(end):
            call = self.calls[abs(at) - 1]
            if at < 0:
                covered[-at] = disk.measure(call)
            elif call.paths[0] == self.ledger:
                account.note(json.loads(call.data))
            else:
                disk.apply(call, covered.get(at, (0, 0)))
        return disk, account

    def _moments(self, end: int) -> Iterator[int]:
        """Numbers from 1 of the calls as they end; negative: an fsync begins."""
        began = [(call.began, -n) for n, call in enumerate(self.calls[:end], 1) if call.name in ("fsync", "fdatasync")]
        ended = [(call.ended, n) for n, call in enumerate(self.calls[:end], 1)]
        return iter([n for _, n in sorted(began + ended)])


def _point(trial: Trial, history: _History, number: int, chance: random.Random, *, judged: bool = True) -> bool:
    end = chance.randint(0, len(history.calls))
    variant = VARIANTS[number % len(VARIANTS)]
    where = f"{variant}, after call {end} of {len(history.calls)}:"
    disk, account = history.until(end)
    left = trial.home / f"left-{number}"
    disk.leave(left, variant, chance)
    try:
        spool = left / "spool"
        found = oracle.in_spool(spool) if spool.exists() else Counter()
        verdict = oracle.judge(account, found, promised_only=True)
        if judged:
            trial.add(number, verdict, where)
        if judged and spool.exists() and (number % _SYNCED_EVERY == 0 or trial.only is not None):
            _sync_left(trial, number, left, account, history.name)
        return verdict.good
    finally:
        shutil.rmtree(left)


def _sync_left(trial: Trial, number: int, left: Path, account: oracle.Account, name: str) -> None:
    """The same through the real sync, into a house of its own."""
    with places.a_house(trial, f"house-{number}") as house:
        home = Home(left, house.url).with_key(house.key)
        places.check_sync(trial, number, home.sync("--api-base", house.url, "--close-dead"), code=None)
        trial.add(number, places.verdict(house, name, account, promised_only=True), "synced:")


def _is_caught(trial: Trial, name: str) -> bool:
    """Whether any of so many points finds fault with a copy of the emitter that has this mistake."""
    source = trial.home / name.replace(" ", "-")
    source.mkdir()
    shutil.copytree(jobs.ROOT / "tracehouse", source / "tracehouse", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tests").symlink_to(jobs.ROOT / "tests")
    file, good, bad = MUTANTS[name]
    path = source / "tracehouse" / "spool" / file
    text = path.read_text()
    assert text.count(good) == 1, f"the mutant {name!r} no longer fits {file}"
    path.write_text(text.replace(good, bad))
    history = _History(trial.home, "mutant", source)
    chances = (random.Random(f"{trial.seed}/{name}/{number}") for number in range(_MUTANT_POINTS))
    return not all(_point(trial, history, number, chance, judged=False) for number, chance in enumerate(chances))
