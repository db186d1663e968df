"""Row 3: system calls of a job fail, once, now and then, or for good: the job ends as it would, and what is lost is told.

Of each session no more may be lost than is told of it; where a call fails that takes nothing from a file, nothing may be lost, whatever
is told.
"""

from __future__ import annotations

import errno
import os
import random
import re
from collections import Counter
from typing import Any, NamedTuple

from tests.support import jobs, oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import failing, injected
from tortures import job_calls, places
from tortures.trial import Trial
from tracehouse.spool import layout, manifest

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
# what disks refuse most: met both once and for good before most others are met twice
FIRST = [(call, error) for call in ("write", "fdatasync") for error in ("ENOSPC", "EIO")]
# without them a file has what it would have
_HARMLESS = ("fsync", "fdatasync", "flock", "utimensat", "unlink")
_MET = 0.9  # of the points: how many of a call are made at all differs a little from run to run
# told at the end on the logger, and of how many the spool tells besides
_TOLD = re.compile(r"(\d+) records could not be written to the spool .*; the spool itself tells of (\d+) of them")


class Fault(NamedTuple):
    """One job's: which errno; ``where`` it comes, in words."""

    number: int
    call: str
    error: str
    where: str


def faults(seed: int) -> list[tuple[str, str, str]]:
    """Each call with each errno, and how often it fails: each pair once before any comes again, each of TIMES before any comes again."""
    kinds = random.Random(seed).sample(KINDS, len(KINDS))
    kinds.sort(key=lambda kind: kind not in FIRST)
    return [
        (*kind, TIMES[(turn + (0 if kind in FIRST else place)) % len(TIMES)])
        for turn in range(len(TIMES))
        for place, kind in enumerate(kinds)
    ]


def run(trial: Trial, size: int = job_calls.SIZE) -> None:
    with places.a_house(trial) as house:
        home = places.place(trial.home / "first", house)
        calls = job_calls.points(trial, home, size)
        kinds = faults(trial.seed)
        made: dict[str, Fault] = {}
        met = 0
        for number, chance in trial.points():
            if not made:
                home = places.place(trial.home / f"home-{number}", house)
            call, error, times = kinds[number % len(kinds)]
            when = times.format(chance.choice([at for of, at in calls if of == call]))
            name = f"error-{trial.seed}-{number}."
            made[name] = Fault(number, call, error, f"{error} of {call} at {when}:")
            log = trial.home / f"{name}injected"
            _job(trial, made[name], home, job_calls.words(trial, home, name, size), failing(call, error, when, log))
            met += injected(log) > 0
            if number % _AT_ONCE == _AT_ONCE - 1:
                _check(trial, home, house, made)
                made = {}
        if made:
            _check(trial, home, house, made)
    trial.require(met >= trial.made * _MET, trial.made, f"only {met} of {trial.made} faults hit")
    trial.notes.append(f"{met} faults hit, {trial.made - met} not met")


def _job(trial: Trial, fault: Fault, home: Home, words: tuple[str, ...], prefix: tuple[str, ...]) -> None:
    job = home.start_job(job_calls.SCRIPT, *words, prefix=prefix)
    _, err = job.communicate(timeout=100)
    code = job.returncode
    trial.require(code == 0, fault.number, f"{fault.where} the job ended with {code}: {err[-800:]}")
    trial.require("Traceback" not in err, fault.number, f"{fault.where} {err[-800:]}")


def _check(trial: Trial, home: Home, house: House, made: dict[str, Fault]) -> None:
    last = max(fault.number for fault in made.values())
    places.check_sync(trial, last, places.sync_until_done(home))
    places.check_verify(trial, last, home)
    accounts = {name: oracle.Account().add(job_calls.ledger(trial, name)) for name in made}
    told = losses_told(home)
    dropped = Counter({of: sum(loss["records"] for loss in losses) for of, losses in told.items()})
    for name, verdict in places.verdicts(house, accounts).items():
        fault = made[name]
        losses = [loss for of, found in told.items() if of.startswith(name) for loss in found]
        check_reasons(trial, fault.number, fault.where, losses, fault.error)
        untold = _untold(trial, name, fault)
        if fault.call not in _HARMLESS:
            lost = Counter(map(session_of, verdict.lost))
            verdict.dropped = sum((lost & dropped).values()) + untold
        trial.add(fault.number, verdict, fault.where)


def session_of(item: oracle.Item) -> str:
    """The id of the session that an item's record is in: a rollout's are in its run's, whose id ends with a dot."""
    return str(item[1]) if str(item[1]).endswith("-chat") else str(item[1]).partition(".")[0] + "."


def losses_told(home: Home) -> dict[str, list[dict[str, Any]]]:
    """What the ``dropped`` records of a spool say, by the ids of the sessions."""
    known = [session for session in home.sessions() if (session / layout.MANIFEST).exists()]
    return {manifest.read(str(session)).id: jobs.of_type(session, "dropped") for session in known}


def check_reasons(trial: Trial, number: int, where: str, losses: list[dict[str, Any]], *errors: str) -> None:
    """Each loss says why, and that is what was done to the disk."""
    for loss in losses:
        reasons = loss["reasons"]
        is_whole = sum(reasons.values()) == loss["records"] > 0 and min(reasons.values()) > 0
        trial.require(is_whole and set(reasons) <= set(errors), number, f"{where} told for no such reason: {loss}")


def _untold(trial: Trial, name: str, fault: Fault) -> int:
    """Of how many lost records no ``dropped`` record tells, but the logger, which must know the reason, too."""
    log = job_calls.told(trial, name)
    untold = sum(int(lost) - int(told) for lost, told in _TOLD.findall(log))
    is_named = os.strerror(getattr(errno, fault.error)) in log
    trial.require(is_named or not untold, fault.number, f"{fault.where} lost with no reason: {log[-800:]}")
    return untold
