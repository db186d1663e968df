"""All that the soak is played with: jobs that begin anew, agents, a house, and the keys to it."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.home import Home
from tests.support.house import House
from tests.support.waiting import wait_until
from tortures import places
from tortures.lives import SIGNALS, Cradle, Life
from tortures.trial import Trial
from tortures.weather import PATIENCE
from tracehouse.spool.keys import save_key

JOBS = 8
AGENTS = 2
_SOON = 120.0  # seconds within which an agent brings what is fresh, whatever else it has to do


@dataclass
class Field:
    """Times are monotonic. ``lives``: every job that was begun; ``killed``: the agents that may end; ``cramped``: the disk is full.

    ``wiped_at``: when the house lost all that it had; ``deleted``: runs that were deleted there, and when. ``homes``: all that have a key
    to the house; ``keys``: those that it had."""

    trial: Trial
    home: Home
    house: House
    cradle: Cradle
    jobs: dict[int, Life] = field(default_factory=dict)
    agents: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    lives: list[Life] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    cramped: bool = False
    wiped_at: float = 0.0
    deleted: dict[str, float] = field(default_factory=dict)
    homes: list[Home] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.homes.append(self.home)
        self.log_in()

    def place(self, directory: Path) -> Home:
        """Another place with a key to the house."""
        self.homes.append(places.place(directory, self.house, self.home.api_base))
        self.log_in()
        return self.homes[-1]

    def leave(self, home: Home) -> None:
        """It is not needed any more."""
        self.homes.remove(home)
        shutil.rmtree(home.directory)

    def log_in(self) -> None:
        """Each place has a profile with the house's key: when that changes, what was acknowledged stays so."""
        if self.house.key not in self.keys:
            self.keys.append(self.house.key)
        for home in self.homes:
            home.environ.pop("TRACEHOUSE_API_KEY", None)
            config = home.environ["TRACEHOUSE_CONFIG_DIR"]
            save_key(self.house.key, home.api_base, "default", source="login", config_dir=config)

    def tend(self) -> None:
        """Begin anew what has ended."""
        for place in range(JOBS):
            life = self.jobs.get(place)
            if life is not None and life.is_stuck:
                self.violated(f"a job ({life.kind} {life.what}) is stuck")
                life.job.kill()
            if life is None or life.job.poll() is not None:
                self.ended(life)
                self.jobs[place] = self.cradle.begin(place)
                self.jobs[place].cramped = self.cramped
                self.lives.append(self.jobs[place])
        self._tend_agents()

    def _tend_agents(self) -> None:
        for place in range(AGENTS):
            agent = self.agents.get(place)
            if agent is None or agent.poll() is not None:
                if agent is not None and agent.pid not in self.killed:
                    self.violated(f"an agent ended by itself, with {agent.returncode}: {self.log()[-1500:]}")
                more = {**self._own_state(place), **places.SMALL, **self.cradle.perhaps_false_clock()}
                self.agents[place] = self.home.start_agent(TRACEHOUSE_TIMEOUT=PATIENCE, **more)
                self.killed.discard(self.agents[place].pid)

    def _own_state(self, place: int) -> dict[str, str]:
        return {"TRACEHOUSE_STATE_DIR": str(self.home.directory / f"state-{place}"), "TRACEHOUSE_RETENTION_GRACE": "5"}

    def check_agents(self) -> None:
        """Each agent by itself, the others being stopped, brings what a job logs now to the house: none of them hangs."""
        for agent in self.agents.values():
            if agent.pid in self.killed:
                self._see_off(agent)
        self._tend_agents()
        for place, agent in self.agents.items():
            others = [other for other in self.agents.values() if other is not agent]
            for other in others:
                other.send_signal(signal.SIGSTOP)
            self._check_agent(agent, place)
            for other in others:
                other.send_signal(signal.SIGCONT)

    def _see_off(self, agent: subprocess.Popen[str]) -> None:
        try:
            agent.wait(_SOON)
        except subprocess.TimeoutExpired:
            self.violated(f"an agent that was told to end does not: {self.log()[-1500:]}")
            agent.kill()
            agent.wait()

    def _check_agent(self, agent: subprocess.Popen[str], place: int) -> None:
        life = self.cradle.begin_fresh(place)
        self.lives.append(life)
        account = life.account()

        def has_come() -> bool:
            return agent.poll() is not None or places.verdict(self.house, life.name, account).good

        try:
            wait_until(has_come, timeout=_SOON)
        except AssertionError:
            self.violated(f"an agent hangs: it brought nothing new in {_SOON:.0f} s: {self.log()[-1500:]}")
        if agent.poll() is not None:
            self.violated(f"an agent ended by itself, with {agent.returncode}: {self.log()[-1500:]}")
        self.trial.require(len(account.done) >= 20, self.trial.made, f"a fresh job logged only {len(account.done)}")
        self.ended(life)

    def resume(self) -> None:
        """A job goes on with all that was begun before the house lost it: an agent that has nothing to send hears nothing of that."""
        names = sorted({life.name for life in self.lives if life.began < self.wiped_at})
        if names:
            again = self.cradle.begin_again(names)
            self.lives += again
            self.ended(again[0])

    def ended(self, life: Life | None) -> None:
        """It is to have ended as its kind does."""
        complaint = life.complaint() if life is not None else ""
        if complaint:
            self.violated(complaint)

    def violated(self, what: str) -> None:
        self.trial.violated(self.trial.made, what)

    def log(self) -> str:
        path = self.home.directory / "agent.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self, chance: random.Random) -> None:
        """Jobs come to an end, agents go."""
        for life in self.jobs.values():
            life.strike(chance.choice(SIGNALS))
        for life in self.jobs.values():
            self.ended(life)
        for agent in self.agents.values():
            agent.kill()
            agent.wait()
