"""Row 6: a power failure after any system call of a job, or of an agent, on a disk that keeps only what was fsynced, and any part of
the rest.

Their own calls are replayed, so neither root nor a special file system is needed: every place among them, with each of the ways in which
the rest may be left. What more than one in five of them leave goes through a real sync. Mutants, which forget an fsync or get the order
wrong, show that the row finds such mistakes.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Union

from tests.support import jobs
from tests.support.house import House
from tortures import places
from tortures.lost_writes import VARIANTS, place
from tortures.trial import Trial
from tortures.unsynced_agent import AgentHistory
from tortures.unsynced_job import JobHistory, Together

TITLE = "un-fsynced data and names dropped, or kept in any order, after every system call of a job and of an agent; five mutants are caught"
COUNT = 2500
_POINTS_OF_ONE = 1200  # job or agent: each place among its calls in all variants
# whose disk a point is, in turns
_JOB, _AGENT, _TOGETHER = "job", "agent", "together"
_TURNS = (_JOB, _AGENT, _JOB, _AGENT, _TOGETHER)
_AGENT_SYNCED_EVERY = 16
_History = Union[JobHistory, AgentHistory]
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
        row = _Row(trial, house)
        for number, chance in trial.points():
            row.point(number, chance)
        row.end()
        if trial.only is None:
            caught = [name for name in MUTANTS if _is_caught(trial, house, name)]
            trial.notes.append(f"mutants caught: {len(caught)} of {len(MUTANTS)}")
            trial.require(len(caught) == len(MUTANTS), trial.made, f"of the mutants only {caught} were caught")


class _Row:
    """Its points, and what they are made of: ``made`` are histories, and how many points of each there have been."""

    def __init__(self, trial: Trial, house: House) -> None:
        self._trial, self._house = trial, house
        self._made: dict[str, tuple[_History, int]] = {}
        self._together = Together(trial, house)
        self._agents_synced = 0

    def point(self, number: int, chance: random.Random) -> None:
        kind, at = _share(number)
        if kind == _TOGETHER:
            # other jobs' places, from the other end: what is replayed comes to those last
            self._make(self._together.history(at), number, -1 - at, chance, is_synced=True)
            return
        turn, at = divmod(at, _POINTS_OF_ONE)
        name = f"{kind}-{self._trial.seed}-{turn}"
        history, points = self._made.get(name) or (_history(self._trial, self._house, name, jobs.ROOT, kind), 0)
        self._made[name] = history, points + 1
        is_synced = kind == _AGENT and at % _AGENT_SYNCED_EVERY == _AGENT_SYNCED_EVERY // 3
        self._make(history, number, at, chance, is_synced=is_synced or self._trial.only is not None)

    def _make(self, history: _History, number: int, at: int, chance: random.Random, *, is_synced: bool) -> None:
        end, variant = place(at, len(history.calls) + 1)
        where = f"{history.name}, {variant}, after call {end} of {len(history.calls)}:"
        left = self._trial.home / f"left-{number}"
        history.leave(end, left, variant, chance)
        self._trial.add(number, history.judge(end, left), where)
        if is_synced and isinstance(history, JobHistory):
            self._together.add(number, where, history, end, left)
            return
        if is_synced and isinstance(history, AgentHistory):
            history.sync_left(self._trial, number, where, left)
            self._agents_synced += 1
        shutil.rmtree(left)

    def end(self) -> None:
        self._together.sync()
        for name, (history, points) in self._made.items():
            most = (len(history.calls) + 1) * len(VARIANTS)
            self._trial.notes.append(f"{name}: {min(points, most)} of {most} places × variants")
        told = f"{self._together.synced} other jobs' and {self._agents_synced} agents' disks through a real sync"
        self._trial.notes.append(told)


def _share(number: int) -> tuple[str, int]:
    """Whose point it is, and its number among theirs."""
    turn, at = divmod(number, len(_TURNS))
    return _TURNS[at], turn * _TURNS.count(_TURNS[at]) + _TURNS[:at].count(_TURNS[at])


def _history(trial: Trial, house: House, name: str, source: Path, kind: str) -> _History:
    return AgentHistory(trial, house, name, source) if kind == _AGENT else JobHistory(trial.home, name, source)


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
    kind = _AGENT if file.startswith("tracehoused/") else _JOB
    history = _history(trial, house, f"mutant-{source.name}", source, kind)
    return any(_finds(trial, history, at) for at in range((len(history.calls) + 1) * len(VARIANTS)))


def _finds(trial: Trial, history: _History, at: int) -> bool:
    end, variant = place(at, len(history.calls) + 1)
    left = trial.home / "left"
    history.leave(end, left, variant, random.Random(f"{trial.seed}/{history.name}/{at}"))
    try:
        return not history.judge(end, left).good
    finally:
        shutil.rmtree(left)
