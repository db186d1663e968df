"""Row 9: several agents on one spool, one of them stopped beyond its lease and continued; a spool copied while it grows, and synced from
both places.

Leases of stopped agents are made old, but those of one point in ten: there the minute is waited out, while the next points are made.
An agent that goes on after that looks at its lease before each request: one may be on its way between the two, and no more.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.waiting import wait_until
from tortures import places
from tortures.leases import grow_old, holder_of, unleased, watched_agent
from tortures.trial import Trial, Unavailable
from tracehoused.upload.lease import EXPIRES_AFTER

TITLE = (
    "two and three agents on one spool, one stopped beyond its lease; a live spool copied and synced from both places"
)
COUNT = 100
_JOB = """
import time
work = Work(book, sys.argv[2], "a", sys.argv[2])
for n in range(0, 240, 4):
    work.some(4, start=n)
    time.sleep(0.03)
work.finish()
"""
# logs until it is told to end, and a while after it
_LONG_JOB = """
import select, time
work = Work(book, sys.argv[2], "a", sys.argv[2])
n, left = 0, 30
while left:
    work.some(4, start=n)
    time.sleep(0.03)
    n += 4
    left -= bool(select.select([sys.stdin], [], [], 0)[0])
work.finish()
"""
_WAITED = 10  # which of so many points is one where the lease expires by itself
_STOPS = 3
_MOST_STOPS = 12  # where none of the first was taken over


def run(trial: Trial) -> None:
    if shutil.which("rsync") is None:
        raise Unavailable("needs rsync")
    taken, waited = 0, 0
    waiting: list[_Waiting] = []
    with places.a_house(trial) as house, ExitStack() as stack:
        for number, chance in trial.points():
            if number % _WAITED == 0:
                waiting.append(_Waiting(trial, house, number, chance))
                stack.callback(waiting[-1].kill)
            elif number % 2:
                _copied(trial, house, number, chance)
            else:
                of_point = _stopped(trial, house, number, chance)
                trial.require(of_point > 0, number, "no lease of a stopped agent was taken over")
                taken += of_point
            if not trial.violations and number not in [one.number for one in waiting]:
                shutil.rmtree(trial.home / f"home-{number}", ignore_errors=True)
            waited += sum(one.finish() for one in waiting if one.is_over())
            waiting = [one for one in waiting if not one.is_done]
        waited += sum(one.finish() for one in waiting)
    trial.notes.append(f"{taken} leases of stopped agents, made old, taken over")
    trial.notes.append(f"{waited} that grew old by themselves")


class _Waiting:
    """Two agents, one of them stopped in the middle of what it does, whose leases the other may have once they have expired."""

    def __init__(self, trial: Trial, house: House, number: int, chance: random.Random) -> None:
        self.number = number
        self.is_done = False
        self._trial, self._house = trial, house
        self._home = places.place(trial.home / f"home-{number}", house)
        self._ledger, self._name = trial.home / f"{number}.ledger", f"agents-{trial.seed}-{number}"
        self._agents = [_agent(self._home, place) for place in range(2)]
        self._job = self._home.start_job(places.WORK + _LONG_JOB, str(self._ledger), f"{self._name}-0.")
        self._held: dict[Path, tuple[int, str]] = {}
        wait_until(lambda: any(self._home.spool.glob("*/upload/lease")), what="an agent at work")
        for _ in range(_MOST_STOPS):
            self._held = self._held or _pause_with_lease(self._home, self._agents, chance)
        if trial.count < _WAITED:  # too few to be made meanwhile: half of the minute is over
            for path in self._held:
                grow_old(path, EXPIRES_AFTER / 2)
        self._expire = {path: path.stat().st_mtime + EXPIRES_AFTER for path in self._held}
        self._until = max(self._expire.values(), default=0.0)
        trial.require(bool(self._held), number, "no agent was stopped with a lease")
        # there is to be something left that the other agent wants
        assert self._job.stdin is not None
        print(file=self._job.stdin, flush=True)

    def is_over(self) -> bool:
        self._all_taken()
        return time.time() > self._until

    def _all_taken(self) -> bool:
        """No lease is taken over before its time."""
        others = [path for path, was in self._held.items() if holder_of(path) != was]
        early = [path for path in others if time.time() < self._expire[path]]
        self._trial.require(not early, self.number, f"the leases {early} of a stopped agent were taken over too soon")
        return len(others) == len(self._held) or bool(early)

    def finish(self) -> int:
        """How many leases the other agent took over."""
        self.is_done = True
        trial, number = self._trial, self.number
        try:
            wait_until(self._all_taken, 2 * EXPIRES_AFTER, "a takeover")
        except AssertionError as error:
            trial.violated(number, f"{error}: {_log(self._home)}")
        for agent in self._agents:
            agent.send_signal(signal.SIGCONT)
        # both have something to do now
        jobs = [self._job, self._home.start_job(places.WORK + _JOB, str(self._ledger), f"{self._name}-1.")]
        _end(trial, number, self._home, jobs, self._agents)
        _check_leased(trial, number, self._home, Counter(_stops(self._held)))
        _judge(trial, self._house, number, self._home, self._ledger, self._name, "a lease expired:")
        return len(self._held)

    def kill(self) -> None:
        for process in (*self._agents, self._job):
            process.kill()


def _stopped(trial: Trial, house: House, number: int, chance: random.Random) -> int:
    home = places.place(trial.home / f"home-{number}", house)
    ledger, name = trial.home / f"{number}.ledger", f"agents-{trial.seed}-{number}"
    agents = [_agent(home, place) for place in range(chance.choice([2, 3]))]
    jobs: list[subprocess.Popen[str]] = []
    taken = 0
    stops: Counter[tuple[int, str]] = Counter()
    try:
        jobs += [home.start_job(places.WORK + _JOB, str(ledger), f"{name}-{n}.") for n in range(2)]
        for made in range(_MOST_STOPS):
            if made >= _STOPS and taken:
                break
            if all(job.poll() is not None for job in jobs):
                # there is to be something left that another agent wants
                jobs.append(home.start_job(places.WORK + _JOB, str(ledger), f"{name}-{len(jobs)}."))
            taken += _stop_beyond(home, agents, chance, stops)
    finally:
        _end(trial, number, home, jobs, agents)
    _check_leased(trial, number, home, stops)
    _judge(trial, house, number, home, ledger, name, f"{len(agents)} agents:")
    return taken


def _end(
    trial: Trial, number: int, home: Home, jobs: list[subprocess.Popen[str]], agents: list[subprocess.Popen[str]]
) -> None:
    try:
        for job in jobs:
            _, err = job.communicate(timeout=100)
            trial.require(job.returncode == 0, number, f"a job ended with {job.returncode}: {err[-500:]}")
        for place, agent in enumerate(agents):
            trial.require(agent.poll() is None, number, f"agent {place} ended with {agent.returncode}: {_log(home)}")
    finally:
        for agent in agents:
            agent.send_signal(signal.SIGCONT)
            agent.terminate()
        for agent in agents:
            trial.require(agent.wait(60) == 0, number, f"an agent ended with {agent.returncode}: {_log(home)}")
    trial.require("Traceback" not in _log(home), number, f"an agent broke off: {_log(home)}")


def _agent(home: Home, place: int) -> subprocess.Popen[str]:
    state = str(home.directory / f"state-{place}")
    return watched_agent(home, TRACEHOUSE_STATE_DIR=state, **places.SMALL)


def _log(home: Home) -> str:
    path = home.directory / "agent.log"
    return path.read_text(errors="replace")[-1500:] if path.exists() else ""


def _stops(held: dict[Path, tuple[int, str]]) -> list[tuple[int, str]]:
    """Of which process in which session."""
    return [(pid, path.parents[1].name) for path, (pid, _) in held.items()]


def _check_leased(trial: Trial, number: int, home: Home, stops: Counter[tuple[int, str]]) -> None:
    """``stops``: how often a process was stopped beyond the lease of a session."""
    more = unleased(home) - stops
    trial.require(not more, number, f"requests beyond a lease: {dict(more)}, of {sum(stops.values())} stops")


def _stop_beyond(
    home: Home, agents: list[subprocess.Popen[str]], chance: random.Random, stops: Counter[tuple[int, str]]
) -> int:
    """Stop one in the middle of what it does, let its leases grow old, have others take them over, and let it go on."""
    held = _pause_with_lease(home, agents, chance)
    stops.update(_stops(held))
    for path in held:
        grow_old(path)
    with suppress(AssertionError):  # where nothing was left to do, nobody wants it
        wait_until(lambda: all(holder_of(path) != was for path, was in held.items()), timeout=5, what="other holders")
    taken = sum(holder_of(path) != was for path, was in held.items())
    for agent in agents:
        agent.send_signal(signal.SIGCONT)
    return taken


def _pause_with_lease(
    home: Home, agents: list[subprocess.Popen[str]], chance: random.Random
) -> dict[Path, tuple[int, str]]:
    """Leases of an agent that is stopped now, by their paths."""
    agent = chance.choice(agents)
    for _ in range(200):
        agent.send_signal(signal.SIGSTOP)
        held = {path: holder for path in home.spool.glob("*/upload/lease") if (holder := holder_of(path))}
        ours = {path: holder for path, holder in held.items() if holder[0] == agent.pid}
        if ours:
            return dict(ours)
        agent.send_signal(signal.SIGCONT)
        time.sleep(chance.uniform(0.001, 0.02))  # another moment of what it does
    return {}


def _copied(trial: Trial, house: House, number: int, chance: random.Random) -> None:
    home = places.place(trial.home / f"home-{number}" / "here", house)
    there = places.place(trial.home / f"home-{number}" / "there", house)
    ledger, name = trial.home / f"{number}.ledger", f"agents-{trial.seed}-{number}"
    job = home.start_job(places.WORK + _JOB, str(ledger), f"{name}.")
    wait_until(lambda: ledger.exists() and ledger.stat().st_size > 0, what="the job's first record")
    options = chance.choice([[], ["--delete"], ["--append-verify"]])
    while job.poll() is None:
        _copy(home, there, options)
        both = [_sync(place, chance) for place in (home, there)]
        for one in both:
            _, err = one.communicate(timeout=100)
            trial.require("Traceback" not in err, number, err[-800:])
    _, err = job.communicate()
    trial.require(job.returncode == 0, number, f"the job ended with {job.returncode}: {err[-500:]}")
    first, second = (home, there) if chance.random() < 0.5 else (there, home)
    _copy(home, there, options)
    # a copy of the last moment may have had a record that it was over, and not yet all of its media
    there.run("deadletters", "retry", str(there.spool))
    done = places.sync_until_done(first, tries=3)
    trial.require("Traceback" not in done.err, number, done.err[-800:])
    places.check_sync(trial, number, second.sync("--close-dead"), code=0)
    places.check_verify(trial, number, there)
    _judge(trial, house, number, home, ledger, name, f"copied by rsync {' '.join(options)}:")


def _copy(home: Home, there: Home, options: list[str]) -> None:
    """Files may come and go meanwhile: 24 says so."""
    done = subprocess.run(["rsync", "-a", *options, f"{home.spool}/", f"{there.spool}/"], check=False)
    assert done.returncode in (0, 23, 24), done.returncode


def _sync(home: Home, chance: random.Random) -> subprocess.Popen[str]:
    sizes = {"TRACEHOUSE_BATCH_POINTS": str(chance.randint(3, 20)), "TRACEHOUSE_BATCH_SPANS": str(chance.randint(2, 9))}
    return home.start("sync", str(home.spool), prefix=(), **sizes)


def _judge(trial: Trial, house: House, number: int, home: Home, ledger: Path, name: str, where: str) -> None:
    places.check_sync(trial, number, places.sync_until_done(home))
    places.check_verify(trial, number, home)
    trial.add(number, places.verdict(house, f"{name}", oracle.Account().add(ledger)), where)
