"""Row 1: a job killed at its k-th system call, for every k: what its calls had returned from by then arrives once."""

from __future__ import annotations

import random

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import killing
from tortures import job_calls, places
from tortures.trial import Trial

TITLE = "SIGKILL of the job at its k-th system call"
COUNT = 1000  # or as many calls as it makes
_AT_ONCE = 20


def run(trial: Trial, size: int = job_calls.SIZE) -> None:
    with places.a_house(trial) as house:
        home = places.place(trial.home / "home", house)
        calls = job_calls.points(trial, home, size)
        order = random.Random(trial.seed).sample(calls, len(calls))
        made: dict[str, tuple[int, str]] = {}
        killed = 0
        for number, _ in trial.points():
            if number >= len(order):
                break
            call, when = order[number]
            name = f"job-{trial.seed}-{number}."
            killed += _was_killed(home, job_calls.words(trial, home, name, size), killing(call, when))
            made[name] = (number, f"killed at {call} {when}:")
            if len(made) == _AT_ONCE:
                _check(trial, home, house, made)
                made = {}
        if made:
            _check(trial, home, house, made)
    trial.require(killed >= trial.made * 0.8, trial.made, f"only {killed} of {trial.made} points were met")
    trial.notes.append(f"{killed} killed, at different ones of the job's {len(calls)} calls")


def _was_killed(home: Home, words: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    job = home.start_job(job_calls.SCRIPT, *words, prefix=prefix)
    job.communicate(timeout=100)
    return job.returncode != 0


def _check(trial: Trial, home: Home, house: House, made: dict[str, tuple[int, str]]) -> None:
    last = max(number for number, _ in made.values())
    places.check_sync(trial, last, places.sync_until_done(home))
    places.check_verify(trial, last, home)
    accounts = {name: oracle.Account().add(job_calls.ledger(trial, name)) for name in made}
    for name, verdict in places.verdicts(house, accounts).items():
        trial.add(made[name][0], verdict, made[name][1])
