"""Row 14: eight jobs and two agents on one spool, a house behind a network, and a nemesis that strikes any of them at random."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy, cut, lost, page, proxied, reset, status
from tests.support.servers import Received
from tortures import places
from tortures.trial import Trial

TITLE = "soak: 8 jobs, 2 agents, a house, and a random nemesis"
COUNT = 3000  # strikes; a few a second
JOBS = 8
AGENTS = 2
_JOB = """
import time
work = Work(book, sys.argv[2], sys.argv[3], sys.argv[4])
n = 0
while n < 400:
    work.some(5, start=n); n += 5
    time.sleep(0.02)
work.finish()
"""
_FAULTS: tuple[Fault, ...] = (
    lost,
    reset,
    cut(0),
    cut(30),
    cut(200),
    page(),
    status(503, b"busy", "Retry-After: 0"),
    status(500),
    status(429, b"{}", "Retry-After: 1"),
)


@dataclass
class _Field:
    """All that runs. ``lives`` counts the jobs that were begun; each has a ledger of its own."""

    trial: Trial
    home: Home
    house: House
    chance: random.Random
    jobs: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    agents: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    ledgers: list[Path] = field(default_factory=list)
    stopped: list[subprocess.Popen[str]] = field(default_factory=list)

    def tend(self) -> None:
        """Begin what has ended anew: a job as another attempt of its run, or as a run of its own."""
        for place in range(JOBS):
            job = self.jobs.get(place)
            if job is None or job.poll() is not None:
                if job is not None:
                    self._ended(job)
                self.jobs[place] = self._start_job(place)
        for place in range(AGENTS):
            agent = self.agents.get(place)
            if agent is None or agent.poll() is not None:
                self.agents[place] = self.home.start_agent(**self._own_state(place), **places.SMALL)

    def _own_state(self, place: int) -> dict[str, str]:
        return {"TRACEHOUSE_STATE_DIR": str(self.home.directory / f"state-{place}"), "TRACEHOUSE_RETENTION_GRACE": "5"}

    def _start_job(self, place: int) -> subprocess.Popen[str]:
        life = len(self.ledgers)
        self.ledgers.append(self.trial.home / f"{life}.ledger")
        name = f"soak-{place}" if self.chance.random() < 0.5 else f"soak-{place}-{life}"
        return self.home.start_job(places.WORK + _JOB, str(self.ledgers[-1]), name, f"life{life}", str(life))

    def _ended(self, job: subprocess.Popen[str]) -> None:
        _, err = job.communicate()
        told = -job.returncode if job.returncode < 0 else 0
        if told not in (0, signal.SIGKILL, signal.SIGTERM) or (job.returncode > 0):
            self.trial.violated(self.trial.made, f"a job ended with {job.returncode}: {err[-800:]}")

    def strike(self) -> None:
        """One blow of the nemesis."""
        blows: list[Callable[[], None]] = [
            self._kill_job,
            self._kill_job,
            self._kill_agent,
            self._stop_agent,
            self._continue,
            self._kill_house,
        ]
        self.chance.choices(blows, (4, 2, 2, 2, 3, 1))[0]()

    def _kill_job(self) -> None:
        self.chance.choice(list(self.jobs.values())).send_signal(self.chance.choice([signal.SIGKILL, signal.SIGTERM]))

    def _kill_agent(self) -> None:
        agent = self.chance.choice(list(self.agents.values()))
        agent.send_signal(signal.SIGCONT)
        agent.send_signal(self.chance.choice([signal.SIGKILL, signal.SIGTERM]))

    def _stop_agent(self) -> None:
        agent = self.chance.choice(list(self.agents.values()))
        agent.send_signal(signal.SIGSTOP)
        self.stopped.append(agent)

    def _continue(self) -> None:
        for agent in self.stopped:
            agent.send_signal(signal.SIGCONT)
        self.stopped.clear()

    def _kill_house(self) -> None:
        self.house.kill()
        self.house.start()

    def end(self) -> None:
        """The nemesis rests: jobs come to an end, agents go."""
        self._continue()
        for job in self.jobs.values():
            job.send_signal(self.chance.choice([signal.SIGKILL, signal.SIGTERM]))
        for process in (*self.jobs.values(), *self.agents.values()):
            process.kill()
            process.communicate()


def _weather(chance: random.Random) -> Callable[[Received], Fault | None]:
    """A network that is mostly well."""
    return lambda request: chance.choice(_FAULTS) if chance.random() < 0.08 else None


def run(trial: Trial) -> None:
    with places.a_house(trial) as house, proxied(house.url, _weather(random.Random(trial.seed))) as proxy:
        home = places.place(trial.home / "home", house, proxy.url)
        home.patience = 4 * 3600.0  # agents that are killed all the time leave most of it to the sync at the end
        field_ = _Field(trial, home, house, random.Random(trial.seed))
        try:
            for _, chance in trial.points():
                field_.tend()
                _pause(chance.uniform(0.05, 0.4))
                field_.strike()
        finally:
            field_.end()
        proxy.rule = lambda request: None
        _settle(trial, field_, proxy)


def _settle(trial: Trial, field_: _Field, proxy: Proxy) -> None:
    done = places.sync_until_done(field_.home, tries=10)
    places.check_sync(trial, trial.made, done)
    places.check_verify(trial, trial.made, field_.home)
    account = oracle.Account()
    for ledger in field_.ledgers:
        account.add(ledger)
    trial.add(trial.made, places.verdict(field_.house, "soak-", account))
    log = field_.home.directory / "agent.log"
    told = log.read_text(errors="replace") if log.exists() else ""
    trial.require("Traceback" not in told, trial.made, f"an agent broke off: {told[told.find('Traceback') :][:1500]}")
    trial.notes.append(f"{len(field_.ledgers)} jobs, {len(proxy.received)} requests")


def _pause(seconds: float) -> None:
    """The time between two blows is part of what is tried."""
    time.sleep(seconds)
