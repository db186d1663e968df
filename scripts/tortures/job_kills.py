"""Row 1: a job killed at its k-th system call, for every k: what its calls had returned from by then arrives once."""

from __future__ import annotations

import random
from signal import SIGKILL

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import killing
from tortures import job_calls, places
from tortures.trial import Trial

TITLE = "SIGKILL of the job at its k-th system call"
COUNT = 1000  # or as many calls as it makes
_AT_ONCE = 20
MET = 0.97  # of the points asked for
_TRIES = 4  # until a point is met: how often another thread calls, and how far it is, differs from run to run


def run(trial: Trial, size: int = job_calls.SIZE) -> None:
    with places.a_house(trial) as house:
        home = places.place(trial.home / "home", house)
        calls = job_calls.points(trial, home, size)
        order = random.Random(trial.seed).sample(calls, len(calls))
        made: dict[str, tuple[int, str]] = {}
        killed = 0
        for number, chance in trial.points():
            if number >= len(order):
                break
            for attempt in range(_TRIES):
                call, when = chance.choice(order) if attempt else order[number]
                name = f"job-{trial.seed}-{number}.{attempt}."
                made[name] = (number, f"killed at {call} {when}:")
                job = home.start_job(
                    job_calls.SCRIPT, *job_calls.words(trial, home, name, size), prefix=killing(call, when)
                )
                _, err = job.communicate(timeout=100)
                if was_killed(trial, *made[name], job.returncode, err):
                    killed += 1
                    break
            if len(made) >= _AT_ONCE:
                _check(trial, home, house, made)
                made = {}
        if made:
            _check(trial, home, house, made)
    trial.require(killed >= trial.made * MET, trial.made, f"only {killed} of {trial.made} points were met")
    trial.notes.append(f"{killed} killed, at different ones of the job's {len(calls)} calls")


def was_killed(trial: Trial, number: int, where: str, code: int, err: str) -> bool:
    """Whether a process that was to be killed was; one that was not must have ended well."""
    ended = code in (0, -SIGKILL) and "Traceback" not in err
    trial.require(ended, number, f"{where} ended with {code}: {err[-800:]}")
    return code == -SIGKILL


def _check(trial: Trial, home: Home, house: House, made: dict[str, tuple[int, str]]) -> None:
    last = max(number for number, _ in made.values())
    places.check_sync(trial, last, places.sync_until_done(home))
    places.check_verify(trial, last, home)
    accounts = {name: oracle.Account().add(job_calls.ledger(trial, name)) for name in made}
    for name, verdict in places.verdicts(house, accounts).items():
        trial.add(made[name][0], verdict, made[name][1])
