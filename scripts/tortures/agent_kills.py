"""Row 2: the agent killed before and after it journals, sends, is answered, commits, deletes; the next one goes on from there."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import counting, counts, holding, kill_held
from tortures import places
from tortures.job_kills import MET, was_killed
from tortures.trial import Trial, Unavailable

TITLE = "SIGKILL of the agent before and after journal, send, reply, commit, deletion"
COUNT = 300
_AT_ONCE = 10
_TRIES = 5
# taken in turn; strace counts each thread's calls by itself, so what the threads that upload do is named by its file: the first
# to call so often would else always be the main thread, with its notes on its own state
_JOURNAL, _SEND, _REPLY, _COMMIT, _PRUNE, _ANY = _PHASES = ("journal", "send", "reply", "commit", "deletion", "any")
_MANY = 50  # points among which each phase must be met
# opening a file changes nothing; between sendto and recvfrom lies the server's work
CALLS = (
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "mkdir",
    "rename",
    "unlink",
    "unlinkat",
    "rmdir",
    "ftruncate",
    "flock",
)
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
        calls, destination = _counted(trial, house)
        killed, met, made = 0, set(), {}
        home = places.place(trial.home / "home-0", house)
        for number, chance in trial.points():
            phase = _PHASES[number % len(_PHASES)]
            name = ""
            for attempt in range(_TRIES):
                if not name or phase != _PRUNE:  # what is to be deleted is there after a pass that was not killed
                    name = f"agent-{trial.seed}-{number}.{attempt}."
                    home.job(places.WORK + _JOB, str(_ledger(trial, name)), name)
                call, most, paths = _where(home, phase, chance, calls, name, destination)
                # earlier ones each time that none was met
                when = most if paths else chance.randint(1, max(1, most // (attempt + 1)))
                made[name] = (number, f"agent killed at {call} {when}, {phase}:")
                log = trial.home / f"{name}calls"
                agent = home.start_once(*holding(log, call, when, *paths, done=False), **_ENVIRON)
                kill_held(agent, log)
                _, err = agent.communicate(timeout=100)
                if was_killed(trial, *made[name], agent.returncode, err):
                    killed += 1
                    met.add((phase, call, when))
                    break
            if len(made) >= _AT_ONCE:
                _check(trial, home, house, made)
                home, made = places.place(trial.home / f"home-{number + 1}", house), {}
        if made:
            _check(trial, home, house, made)
    trial.require(killed >= trial.made * MET, trial.made, f"only {killed} of {trial.made} points were met")
    unmet = set(_PHASES) - {phase for phase, _, _ in met}
    trial.require(trial.made < _MANY or not unmet, trial.made, f"never killed at {unmet}")
    trial.notes.append(f"{killed} killed, before {len(met)} different calls: after one is before the next")


def _where(
    home: Home, phase: str, chance: random.Random, calls: dict[str, int], name: str, destination: str
) -> tuple[str, int, list[Path]]:
    """A call of this phase, how often it is made at most, and on which files of what a job of this name logged."""
    sessions = [*home.spool.glob(f"run-{name}*"), *home.spool.glob(f"trace-{name}*")]
    journals = [session / "upload" / destination / "journal.jsonl" for session in sessions]
    if phase == _JOURNAL:
        return chance.choice(["write", "fdatasync"]), 1, journals
    if phase == _COMMIT:
        call = chance.choice(["write", "fdatasync", "fsync"])
        if call != "fsync":
            return call, 2, journals
        uids = [json.loads((session / "session.json").read_bytes())["uid"] for session in sessions]
        return call, 1, [home.directory / "state" / "acks" / uid for uid in uids]
    if phase == _PRUNE:
        call = chance.choice(["rename", "unlinkat", "rmdir"])
        return (call, 1, [*home.spool.glob("*/*.jsonl")]) if call == "rename" else (call, calls[call], [])
    call = {_SEND: "sendto", _REPLY: "recvfrom"}.get(phase) or chance.choice(sorted(calls))
    return call, calls[call], []


def _counted(trial: Trial, house: House) -> tuple[dict[str, int], str]:
    """How often an agent makes each call when it uploads, and when it deletes; how it names where it uploads to."""
    home = places.place(trial.home / "counted", house)
    home.job(places.WORK + _JOB, str(trial.home / "counted.ledger"), "counted")
    most: dict[str, int] = {}
    for _ in range(2):
        log = trial.home / "calls"
        done = places.run_once(home, *counting(log, *CALLS, *_TALK), **_ENVIRON)
        assert done.code == 0, done.err
        for call, count in counts(log).items():
            most[call] = max(count, most.get(call, 0))
    return most, next(path.name for path in home.spool.glob("*/upload/*") if path.is_dir())


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
