"""Row 1: a job killed at its k-th system call, for every k: what its calls had returned from by then arrives once.

Twice for every k: where the call has not been done, and where it has, and the job never learnt of it. Both times strace holds the thread
at the call's exit, and it is killed there; before, the kernel skips the call. A call is of one thread, and what the others do meanwhile
is chance's.
"""

from __future__ import annotations

import random
from pathlib import Path
from signal import SIGKILL
from typing import NamedTuple

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import holding, kill_held
from tortures import job_calls, places
from tortures.trial import Trial

TITLE = "SIGKILL of the job before and after its k-th system call"
COUNT = 1000  # or twice as many as it makes calls
_AT_ONCE = 20
MET = 0.97  # of the points asked for
_MAKING = 2  # calls, the first, that make the spool where there is none
_TRIES = 6  # until a point is met: how far another thread is, and so who calls, differs from run to run


class _Point(NamedTuple):
    call: str
    when: int
    done: bool

    def __str__(self) -> str:
        return f"{'after' if self.done else 'before'} {self.call} {self.when}"


class _Killed(NamedTuple):
    number: int
    where: str
    home: Home


def run(trial: Trial, size: int = job_calls.SIZE) -> None:
    with places.a_house(trial) as house:
        calls = job_calls.points(trial, places.place(trial.home / "counted", house), size)
        points = [_Point(*call, done) for call in calls for done in (False, True)]
        order = random.Random(trial.seed).sample(points, len(points))
        made: dict[str, _Killed] = {}
        unmet: list[str] = []
        for number, _ in trial.points():
            if number >= len(order):
                break
            makes = order[number] in points[: 2 * _MAKING]
            for attempt in range(_TRIES):
                # what the first job of a spool does, no later one does
                fresh = makes or attempt > 0
                home = places.place(trial.home / (f"fresh-{number}.{attempt}" if fresh else "home"), house)
                name = f"job-{trial.seed}-{number}.{attempt}."
                made[name] = _Killed(number, f"killed {order[number]}:", home)
                code, err = _kill(home, order[number], trial.home / f"{name}calls", _words(trial, home, name, size))
                if was_killed(trial, number, made[name].where, code, err):
                    break
            else:
                unmet.append(str(order[number]))
            if len(made) >= _AT_ONCE:
                _check(trial, house, made)
                made = {}
        if made:
            _check(trial, house, made)
    met = trial.made - len(unmet)
    trial.require(met >= trial.made * MET, trial.made, f"only {met} of {trial.made} points were met")
    trial.notes.append(f"{met} killed, before or after one of the job's {len(calls)} calls, no two alike")
    trial.notes.append(f"{len(unmet)} not met in {_TRIES} tries each{': ' if unmet else ''}{', '.join(unmet)}")


def _words(trial: Trial, home: Home, name: str, size: int) -> tuple[str, ...]:
    return (job_calls.SCRIPT, *job_calls.words(trial, home, name, size))


def _kill(home: Home, point: _Point, log: Path, words: tuple[str, ...]) -> tuple[int, str]:
    """A job that is killed there, if it comes there: how it ended, and what it said."""
    job = home.start_job(*words, prefix=holding(log, point.call, point.when, done=point.done))
    kill_held(job, log)
    _, err = job.communicate(timeout=100)
    return job.returncode, err


def was_killed(trial: Trial, number: int, where: str, code: int, err: str) -> bool:
    """Whether a process that was to be killed was; one that was not must have ended well."""
    ended = code in (0, -SIGKILL) and "Traceback" not in err
    trial.require(ended, number, f"{where} ended with {code}: {err[-800:]}")
    return code == -SIGKILL


def _check(trial: Trial, house: House, made: dict[str, _Killed]) -> None:
    last = max(one.number for one in made.values())
    homes = {one.home.directory: one.home for one in made.values()}
    for home in (home for home in homes.values() if home.spool.exists()):
        places.check_sync(trial, last, places.sync_until_done(home))
        places.check_verify(trial, last, home)
    accounts = {name: oracle.Account().add(job_calls.ledger(trial, name)) for name in made}
    for name, verdict in places.verdicts(house, accounts).items():
        trial.add(made[name].number, verdict, made[name].where)
