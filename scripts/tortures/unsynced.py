"""Row 6: a power failure after any system call of a job, or of an agent, on a disk that keeps only what was fsynced, and any part of
the rest.

Their own calls are replayed, so neither root nor a special file system is needed: every place among them, with each of the ways in which
the rest may be left. Mutants, which forget an fsync or get the order wrong, show that the row finds such mistakes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

from tests.support import jobs, oracle
from tests.support.home import Home
from tests.support.house import House
from tortures import places
from tortures.calls import Call, traced
from tortures.lost_writes import VARIANTS, Disk, place
from tortures.trial import Trial
from tortures.unsynced_agent import AgentHistory

TITLE = "un-fsynced data and names dropped after every system call of a job and of an agent; five mutants are caught"
COUNT = 2500
_POINTS_OF_ONE = 1200  # job or agent: each place among its calls in all variants
_OF_AGENTS = (1, 3)  # of five points
_SYNCED_EVERY = 50
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
# of the emitter and of the agent: the file, what is in it, and what instead
MUTANTS = {
    "no fsync": ("tracehouse/spool/durable.py", "        os.fdatasync(fd)\n", "        pass\n"),
    "no directory fsync": (
        "tracehouse/spool/durable.py",
        "    try:\n        os.fsync(fd)\n",
        "    try:\n        pass\n",
    ),
    "name without data": ("tracehouse/spool/unsynced.py", "        self.files.insert(0, path)\n", ""),
    "no fsync of the journal": (
        "tracehoused/upload/checkpoint.py",
        "            durable.sync_data(fd)\n        except OSError:\n",
        "        except OSError:\n",
    ),
    "sent before its bounds are durable": (
        "tracehoused/upload/uploader.py",
        "        if new:\n            self._checkpoint.commit()\n",
        "",
    ),
}


def run(trial: Trial) -> None:
    with places.a_house(trial) as house:
        made: dict[str, tuple[_History | AgentHistory, int]] = {}
        for number, chance in trial.points():
            kind, at = _share(number)
            turn, at = divmod(at, _POINTS_OF_ONE)
            name = f"{kind}-{trial.seed}-{turn}"
            history, points = made.get(name) or (_history(trial, house, name, jobs.ROOT, kind), 0)
            _point(trial, history, number, at, chance)
            made[name] = history, points + 1
        for name, (history, points) in made.items():
            most = (len(history.calls) + 1) * len(VARIANTS)
            trial.notes.append(f"{name}: {min(points, most)} of {most} places × variants")
        if trial.only is None:
            caught = [name for name in MUTANTS if _is_caught(trial, house, name)]
            trial.notes.append(f"mutants caught: {len(caught)} of {len(MUTANTS)}")
            trial.require(len(caught) == len(MUTANTS), trial.made, f"of the mutants only {caught} were caught")


def _share(number: int) -> tuple[str, int]:
    """Whose point it is, and its number among theirs."""
    of_agents = number // 5 * len(_OF_AGENTS) + sum(number % 5 > one for one in _OF_AGENTS)
    return ("agent", of_agents) if number % 5 in _OF_AGENTS else ("job", number - of_agents)


def _history(trial: Trial, house: House, name: str, source: Path, kind: str) -> _History | AgentHistory:
    return AgentHistory(trial, house, name, source) if kind == "agent" else _History(trial.home, name, source)


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

    def leave(self, end: int, target: Path, variant: str, chance: random.Random) -> None:
        """Write what a failure after so many calls leaves."""
        on_files = [call for call in self.calls[:end] if call.paths[0] != self.ledger]
        Disk(self.root).apply_all(on_files).leave(target, variant, chance)

    def judge(self, end: int, left: Path) -> oracle.Verdict:
        """On what the job had been told to be safe by then."""
        spool = left / "spool"
        found = oracle.in_spool(spool) if spool.exists() else Counter()
        return oracle.judge(self._told(end), found, promised_only=True)

    def _told(self, end: int) -> oracle.Account:
        account = oracle.Account()
        for call in self.calls[:end]:
            if call.paths[0] == self.ledger:
                account.note(json.loads(call.data))
        return account

    def sync_left(self, trial: Trial, number: int, end: int, left: Path) -> None:
        """The same through the real sync, into a house of its own."""
        if not (left / "spool").exists():
            return
        with places.a_house(trial, f"house-{number}") as house:
            home = Home(left, house.url).with_key(house.key)
            places.check_sync(trial, number, home.sync("--api-base", house.url, "--close-dead"), code=None)
            trial.add(number, places.verdict(house, self.name, self._told(end), promised_only=True), "synced:")
            places.check_verify_torn(trial, number, home, house, self.name, "synced:", "--api-base", house.url)


def _point(trial: Trial, history: _History | AgentHistory, number: int, at: int, chance: random.Random) -> None:
    end, variant = place(at, len(history.calls) + 1)
    where = f"{history.name}, {variant}, after call {end} of {len(history.calls)}:"
    left = trial.home / f"left-{number}"
    history.leave(end, left, variant, chance)
    trial.add(number, history.judge(end, left), where)
    if at % _SYNCED_EVERY == _SYNCED_EVERY // 3 or trial.only is not None:
        history.sync_left(trial, number, end, left)
    shutil.rmtree(left)


def _is_caught(trial: Trial, house: House, name: str) -> bool:
    """Whether any place in any variant finds fault with a copy of the code that has this mistake."""
    file, good, bad = MUTANTS[name]
    source = trial.home / name.replace(" ", "-")
    source.mkdir()
    for package in ("tracehouse", "tracehoused"):
        shutil.copytree(jobs.ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tests").symlink_to(jobs.ROOT / "tests")
    path = source / file
    text = path.read_text()
    assert text.count(good) == 1, f"the mutant {name!r} no longer fits {file}"
    path.write_text(text.replace(good, bad))
    kind = "agent" if file.startswith("tracehoused/") else "job"
    history = _history(trial, house, f"mutant-{source.name}", source, kind)
    return any(_finds(trial, history, at) for at in range((len(history.calls) + 1) * len(VARIANTS)))


def _finds(trial: Trial, history: _History | AgentHistory, at: int) -> bool:
    end, variant = place(at, len(history.calls) + 1)
    left = trial.home / "left"
    history.leave(end, left, variant, random.Random(f"{trial.seed}/{history.name}/{at}"))
    try:
        return not history.judge(end, left).good
    finally:
        shutil.rmtree(left)
