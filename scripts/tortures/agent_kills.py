"""Row 2: the agent killed before and after it journals, sends, is answered, commits, deletes; the next one goes on from there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import counting, counts, killing
from tortures import places
from tortures.trial import Trial, Unavailable

TITLE = "SIGKILL of the agent before and after journal, send, reply, commit, deletion"
COUNT = 300
_AT_ONCE = 10
# opening a file changes nothing; between sendto and recvfrom lies the server's work
CALLS = ("write", "pwrite64", "fdatasync", "fsync", "mkdir", "rename", "unlink", "rmdir", "ftruncate", "flock")
_TALK = ("sendto", "recvfrom", "connect", "close")
_JOB = """
work = Work(book, sys.argv[2], "a", sys.argv[2])
work.some(15)
work.finish()
"""
# what was acknowledged is deleted at once, so that deletions are met, too
_ENVIRON = {**places.SMALL, "TRACEHOUSE_RETENTION_GRACE": "0"}


def run(trial: Trial) -> None:
    if shutil.which("strace") is None:
        raise Unavailable("needs strace")
    with places.a_house(trial) as house:
        calls = _counted(trial, house)
        killed, met, made = 0, set(), {}
        home = places.place(trial.home / "home-0", house)
        for number, chance in trial.points():
            name = f"agent-{trial.seed}-{number}."
            home.job(places.WORK + _JOB, str(_ledger(trial, name)), name)
            call = chance.choice(sorted(calls))
            when = chance.randint(1, calls[call])
            was_killed = _agent(home, killing(call, when))
            killed, made[name] = killed + was_killed, (number, f"agent killed at {call} {when}:")
            if was_killed:
                met.add((call, when))
            if len(made) == _AT_ONCE:
                _check(trial, home, house, made)
                home, made = places.place(trial.home / f"home-{number + 1}", house), {}
        if made:
            _check(trial, home, house, made)
    trial.require(killed * 2 >= trial.made, trial.made, f"only {killed} of {trial.made} points were met")
    trial.notes.append(f"{killed} killed, at {len(met)} different calls")


def _agent(home: Home, prefix: tuple[str, ...]) -> bool:
    """A pass of the agent, retention too; whether it was killed."""
    return places.run_once(home, *prefix, **_ENVIRON).code != 0


def _counted(trial: Trial, house: House) -> dict[str, int]:
    """How often an agent makes each call when it uploads, and when it deletes."""
    home = places.place(trial.home / "counted", house)
    home.job(places.WORK + _JOB, str(trial.home / "counted.ledger"), "counted")
    most: dict[str, int] = {}
    for _ in range(2):
        log = trial.home / "calls"
        done = places.run_once(home, *counting(log, *CALLS, *_TALK), **_ENVIRON)
        assert done.code == 0, done.err
        for call, count in counts(log).items():
            most[call] = max(count, most.get(call, 0))
    return most


def _ledger(trial: Trial, name: str) -> Path:
    return trial.home / f"{name}ledger"


def _check(trial: Trial, home: Home, house: House, made: dict[str, tuple[int, str]]) -> None:
    last = max(number for number, _ in made.values())
    places.check_sync(trial, last, places.sync_until_done(home))
    places.check_verify(trial, last, home)
    for name, verdict in places.verdicts(house, dict(_accounts(trial, made))).items():
        trial.add(made[name][0], verdict, made[name][1])
    home.run("prune", "--older-than", "0", str(home.spool))
    left = [path.name for path in home.spool.glob("*/*.jsonl")]
    trial.require(not left, last, f"acknowledged, and not deleted: {left[:5]}")


def _accounts(trial: Trial, made: dict[str, tuple[int, str]]) -> Iterator[tuple[str, oracle.Account]]:
    for name in made:
        yield name, oracle.Account().add(_ledger(trial, name))
