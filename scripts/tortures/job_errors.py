"""Row 3: system calls of a job fail, once, now and then, or for good: the job ends as it would, and what is lost is told."""

from __future__ import annotations

import random
import re

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import failing, injected
from tortures import job_calls, places
from tortures.trial import Trial

TITLE = "write, fsync, rename, link, mkdir, open… fail at the k-th call, once and for good"
COUNT = 480
_AT_ONCE = 20
ERRORS = {
    "write": ("ENOSPC", "EIO", "EDQUOT"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT"),
    "fsync": ("EIO", "ENOSPC"),
    "openat": ("EMFILE", "ENFILE", "EACCES", "EROFS", "ENOSPC", "EDQUOT", "EIO"),
    "mkdir": ("EACCES", "ENOSPC", "EROFS", "EDQUOT"),
    "link": ("EPERM", "EIO", "EMLINK", "EROFS", "ENOSPC"),
    "rename": ("EIO", "EROFS", "ENOSPC", "EACCES"),
    "unlink": ("EACCES", "EROFS", "EIO"),
    "flock": ("ENOLCK",),
    "utimensat": ("EROFS", "EACCES"),
}
KINDS = [(call, error) for call, errors in ERRORS.items() for error in errors]
# as strace has it
_ONCE, _NOW_AND_THEN, _FOR_GOOD = "{}", "{}+3", "{}+"
TIMES = (_ONCE, _FOR_GOOD, _NOW_AND_THEN)
_MET = 0.9  # of the points: how many of a call are made at all differs a little from run to run
# told on the logger where no segment takes it any more
_TOLD = re.compile(r"(\d+) records could not be written to the spool")


def run(trial: Trial, size: int = job_calls.SIZE) -> None:
    with places.a_house(trial) as house:
        home = places.place(trial.home / "first", house)
        calls = job_calls.points(trial, home, size)
        kinds = random.Random(trial.seed).sample(KINDS, len(KINDS))
        made: dict[str, tuple[int, str]] = {}
        met, times = 0, _ONCE
        for number, chance in trial.points():
            times = TIMES[number // _AT_ONCE % len(TIMES)]
            if not made:
                home = places.place(trial.home / f"home-{number}", house)
            call, error = kinds[number % len(kinds)]
            when = times.format(chance.choice([at for of, at in calls if of == call]))
            name = f"error-{trial.seed}-{number}."
            made[name] = (number, f"{error} of {call} at {when}:")
            log = trial.home / f"{name}injected"
            _job(trial, *made[name], home, job_calls.words(trial, home, name, size), failing(call, error, when, log))
            met += injected(log) > 0
            if number % _AT_ONCE == _AT_ONCE - 1:
                _check(trial, home, house, made, for_good=times == _FOR_GOOD)
                made = {}
        if made:
            _check(trial, home, house, made, for_good=times == _FOR_GOOD)
    trial.require(met >= trial.made * _MET, trial.made, f"only {met} of {trial.made} faults hit")
    trial.notes.append(f"{met} faults hit")


def _job(trial: Trial, number: int, where: str, home: Home, words: tuple[str, ...], prefix: tuple[str, ...]) -> None:
    job = home.start_job(job_calls.SCRIPT, *words, prefix=prefix)
    _, err = job.communicate(timeout=100)
    trial.require(job.returncode == 0, number, f"{where} the job ended with {job.returncode}: {err[-800:]}")
    trial.require("Traceback" not in err, number, f"{where} {err[-800:]}")


def _check(trial: Trial, home: Home, house: House, made: dict[str, tuple[int, str]], *, for_good: bool) -> None:
    last = max(number for number, _ in made.values())
    places.check_sync(trial, last, places.sync_until_done(home))
    places.check_verify(trial, last, home)
    accounts = {name: oracle.Account().add(job_calls.ledger(trial, name)) for name in made}
    dropped = oracle.dropped_by_session(home.spool)
    for name, verdict in places.verdicts(house, accounts, dropped).items():
        number, where = made[name]
        if for_good:
            # no disk takes the count at the end: it is told on the logger, and no flush was True for any of them
            verdict.dropped += sum(map(int, _TOLD.findall(job_calls.told(trial, name))))
            broken = [item for item in verdict.lost if item in accounts[name].promised]
            trial.require(not broken, number, f"{where} lost, though a flush was True: {broken[:3]}")
        trial.add(number, verdict, where)
