"""Row 14: eight jobs and two agents on one spool, a house behind a network, and a nemesis that strikes any of them at random."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy, cut, lost, page, proxied, reset, status
from tests.support.servers import Received, reply, serving
from tests.support.waiting import wait_until
from tortures import places
from tortures.disks import Disk, mounted, need
from tortures.lives import Cradle, Life
from tortures.nemesis import SIGNALS, SPACE, Nemesis
from tortures.trial import Trial, Unavailable

TITLE = "soak: 8 jobs, 2 agents, a house, and a random nemesis from the rows above"
COUNT = 3000  # strikes; a few a second
JOBS = 8
AGENTS = 2
_SOON = 120.0  # seconds within which an agent brings what is fresh, whatever else it has to do
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
    """All that runs. ``lives``: every job that was begun; ``cramped``: the disk is full."""

    trial: Trial
    home: Home
    house: House
    cradle: Cradle
    jobs: dict[int, Life] = field(default_factory=dict)
    agents: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    lives: list[Life] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    cramped: bool = False

    def tend(self) -> None:
        """Begin anew what has ended."""
        for place in range(JOBS):
            life = self.jobs.get(place)
            if life is not None and life.is_stuck:
                self._violated(f"a job ({life.kind} {life.what}) is stuck")
                life.job.kill()
            if life is None or life.job.poll() is not None:
                self._ended(life)
                self.jobs[place] = self.cradle.begin(place)
                self.jobs[place].cramped = self.cramped
                self.lives.append(self.jobs[place])
        self._tend_agents()

    def _tend_agents(self) -> None:
        for place in range(AGENTS):
            agent = self.agents.get(place)
            if agent is None or agent.poll() is not None:
                if agent is not None and agent.pid not in self.killed:
                    self._violated(f"an agent ended by itself, with {agent.returncode}: {self.log()[-1500:]}")
                more = {**self._own_state(place), **places.SMALL, **self.cradle.perhaps_false_clock()}
                self.agents[place] = self.home.start_agent(**more)
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
            self._violated(f"an agent that was told to end does not: {self.log()[-1500:]}")
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
            self._violated(f"an agent hangs: it brought nothing new in {_SOON:.0f} s: {self.log()[-1500:]}")
        if agent.poll() is not None:
            self._violated(f"an agent ended by itself, with {agent.returncode}: {self.log()[-1500:]}")
        self.trial.require(len(account.done) >= 20, self.trial.made, f"a fresh job logged only {len(account.done)}")
        self._ended(life)

    def _ended(self, life: Life | None) -> None:
        complaint = life.complaint() if life is not None else ""
        if complaint:
            self._violated(complaint)

    def _violated(self, what: str) -> None:
        self.trial.violated(self.trial.made, what)

    def log(self) -> str:
        path = self.home.directory / "agent.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self, chance: random.Random) -> None:
        """Jobs come to an end, agents go."""
        for life in self.jobs.values():
            life.strike(chance.choice(SIGNALS))
        for life in self.jobs.values():
            self._ended(life)
        for agent in self.agents.values():
            agent.kill()
            agent.wait()


def _weather(chance: random.Random) -> Callable[[Received], Fault | None]:
    """A network that is mostly well."""
    return lambda request: chance.choice(_FAULTS) if chance.random() < 0.08 else None


def run(trial: Trial, least: int = 0) -> None:
    """``least``: how many blows there must have been, and then some of each kind, and jobs of each."""
    with ExitStack() as stack:
        house = stack.enter_context(places.a_house(trial))
        proxy = stack.enter_context(proxied(house.url, _weather(random.Random(trial.seed))))
        other = stack.enter_context(serving(reply(200)))
        disk = _disk(trial, stack)
        home = _home(trial, house, proxy, disk)
        field_ = _Field(trial, home, house, Cradle(trial, home, random.Random(f"{trial.seed}/lives")))
        nemesis = Nemesis(field_, random.Random(trial.seed), disk, other.url)
        try:
            for _, chance in trial.points():
                field_.tend()
                _pause(chance.uniform(0.05, 0.4))
                nemesis.strike()
            nemesis.rest()
            field_.check_agents()
        finally:
            nemesis.rest()
            field_.end(random.Random(trial.seed))
        nemesis.clear(other.received)
        proxy.rule = lambda request: None
        _settle(trial, field_)
        blows = ", ".join(f"{count} {blow}" for blow, count in sorted(nemesis.blows.items()))
        trial.notes.append(f"{_kinds(field_)}; {len(proxy.received)} requests; {blows}")
        enough = trial.made >= least and not (least and (nemesis.untried or field_.cradle.untried))
        trial.require(enough, trial.made, f"too little was tried, of {least} blows at least: {trial.notes[-1]}")
        if trial.violations and disk is not None:
            shutil.copytree(home.spool, trial.home / "spool", symlinks=True)


def _disk(trial: Trial, stack: ExitStack) -> Disk | None:
    """The spool's own, which can be made full; None where there cannot be one."""
    try:
        need(trial.home, ("tmpfs", "", SPACE))
    except Unavailable as reason:
        trial.lacks("root", f"full disks ({reason})")
        return None
    return stack.enter_context(mounted(trial.home / "small", "tmpfs", size=SPACE, inodes=4 << 20))


def _home(trial: Trial, house: House, proxy: Proxy, disk: Disk | None) -> Home:
    home = places.place(trial.home / "home", house, proxy.url)
    home.patience = 4 * 3600.0  # agents that are killed all the time leave most of it to the sync at the end
    if disk is not None:
        home.spool = disk.path / "spool"
        home.environ["TRACEHOUSE_SPOOL_DIR"] = str(home.spool)
    home.spool.mkdir(0o700)
    return home


def _settle(trial: Trial, field_: _Field) -> None:
    places.check_sync(trial, trial.made, places.sync_until_done(field_.home, tries=3), code=None)
    # a job that a full disk gave no lock is not known to have died
    places.check_sync(trial, trial.made, places.sync_until_done(field_.home, "--close-dead"))
    _check_verify(trial, field_)
    accounts: defaultdict[str, oracle.Account] = defaultdict(oracle.Account)
    excused: defaultdict[str, set[oracle.Item]] = defaultdict(set)
    for life in field_.lives:
        account = life.account()
        accounts[life.name].join(account)
        if life.may_drop:
            excused[life.name] |= account.done - account.promised
    held: defaultdict[str, Counter[oracle.Item]] = defaultdict(Counter)
    with field_.house.client() as client:
        for item, count in oracle.in_house(client, "soak-").items():
            held[_name(item[1])][item] = count
    told = _told(field_.home)
    for name in sorted({*accounts, *held}):
        # what one life was told to have dropped is no excuse for what another lost that had no reason to, nor for a promise
        dropped = min(told[name], sum(not held[name][item] for item in excused[name]))
        trial.add(trial.made, oracle.judge(accounts[name], held[name], dropped=dropped), f"{name}:")
    log = field_.log()
    trial.require("Traceback" not in log, trial.made, f"an agent broke off: {log[log.find('Traceback') :][:1500]}")


def _check_verify(trial: Trial, field_: _Field) -> None:
    """All is proven, but for the lines that a full disk has cut."""
    done = field_.home.run("verify", str(field_.home.spool))
    cramped = any(life.cramped for life in field_.lives)
    others = [line for line in done.err.splitlines() if line and not (cramped and "are no record" in line)]
    trial.require(
        not others and (done.code == 0 or cramped), trial.made, f"verify ended with {done.code}: {others[:5]}"
    )


def _name(of: str) -> str:
    """Which run or attempt of one an id belongs to."""
    return of.partition(".")[0] + "."


def _told(home: Home) -> Counter[str]:
    """How many records were told to be dropped: by the agents where the records themselves are deleted."""
    by_agents: Counter[str] = Counter()
    for session in home.run("status", str(home.spool), "--json").json["sessions"]:
        by_agents[_name(session["id"])] += session["dropped"]
    on_disk: Counter[str] = Counter()
    for of, count in oracle.dropped_by_session(home.spool).items():
        on_disk[_name(of)] += count
    return by_agents | on_disk


def _kinds(field_: _Field) -> str:
    counts = Counter(life.kind for life in field_.lives)
    return ", ".join(f"{count} jobs of {kind}" for kind, count in sorted(counts.items()))


def _pause(seconds: float) -> None:
    """The time between two blows is part of what is tried."""
    time.sleep(seconds)
