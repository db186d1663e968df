"""The whole system as a state machine: jobs, their disk, agents and a house. Jobs and agents die at any effect on the disk or the network,
the house within any request or between two; and a power failure takes what no fsync covered, names and data.

Hypothesis chooses what happens, and shrinks what goes wrong; the code is the real one, in processes that really die.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import uuid
from collections import Counter
from functools import partial
from typing import Any, Callable

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.support import oracle
from tests.support.house import House
from tests.support.proxy import Fault, Proxy, cut, lost, page, reset, status
from tests.support.servers import Received
from tortures import places
from tortures.forked import GROUPS, KINDS, Crash, Fsynced, Part, Steps
from tortures.model_parts import Death, Job
from tortures.names import Names
from tortures.trial import Trial
from tracehouse.exceptions import TracehouseError
from tracehoused.config import resolve
from tracehoused.service.pruning import prune_session
from tracehoused.upload.engine import Engine
from tracehoused.upload.reader import read_manifest, session_dirs

TITLE = "state machine: jobs and agents that die at any effect, a house within any request, a disk that loses what was not fsynced"
COUNT = 40
_STORIES = 4  # of each point: Hypothesis varies what it has, so a few that it begins anew differ more than many
_STEPS = 14
_MOST_JOBS = 3
_PLACES = ("spool", "state")  # of a home, which a power failure takes from
_LEFT = 3  # the exit code of an agent that could not do all
_MOST = 400  # effects of a step: an agent's pass over all of a story's sessions has some 250
_FIRST = 40
_AT = st.integers(0, _FIRST) | st.integers(_FIRST, 3 * _FIRST) | st.integers(0, _MOST)
_CRASH = st.none() | st.tuples(st.just(""), _AT) | st.tuples(st.sampled_from(KINDS), st.integers(0, 5) | _AT)
_OPENING = ("publish_once", "link")  # a session's manifest, and nothing else of a job's
_BEGINNING = st.none() | _CRASH | st.tuples(st.sampled_from(_OPENING), st.integers(0, 3))
_DELETION = st.tuples(st.sampled_from(("rename", "unlink", "rmdir", "move")), st.integers(0, 5) | _AT)
_FAR, _NAMELESS = f"beyond the first {_FIRST} effects", "names were lost"
_FAULTS: dict[str, Fault] = {
    "lost": lost,
    "reset": reset,
    "cut": cut(60),
    "portal": page(),
    "503": status(503, b"", "Retry-After: 0"),
    "500": status(500),
    "429": status(429, b"{}", "Retry-After: 0"),
}


def run(trial: Trial, *, shrink: bool = True) -> None:
    """``shrink``: look for the shortest story of a failure, which may take long."""
    settings_ = settings(
        max_examples=_STORIES,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate, *((Phase.shrink,) if shrink else ())),
        suppress_health_check=list(HealthCheck),
    )
    met: Counter[str] = Counter()
    with places.a_house(trial) as house:
        proxy = Proxy(house.url)
        try:
            for number, chance in trial.points():
                make: Any = partial(_Machine, trial, number, house, proxy, met)
                try:
                    run_state_machine_as_test(seed(chance.getrandbits(64))(make), settings=settings_)
                except BaseException:
                    print(f"again: scripts/torture model --seed {trial.seed} --point {number}")
                    raise
        finally:
            proxy.stop()
    missed = [kinds for kinds in (*GROUPS, _OPENING) if not any(met[f"at {kind}"] for kind in kinds)]
    missed += [(what,) for what in (_FAR, _NAMELESS) if not met[what]]
    # a few points meet some of them only
    trial.require(trial.made < COUNT or not missed, trial.made, f"nothing was seen of any of {missed}")
    trial.notes.append(", ".join(f"{count} × {what}" for what, count in sorted(met.items())))


class _Machine(RuleBasedStateMachine):
    """One spool, up to three jobs at a time, any number of agents one after the other. No rule has a precondition: which jobs live
    depends on when a crash fell, and what Hypothesis may choose must not."""

    def __init__(self, trial: Trial, number: int, house: House, proxy: Proxy, met: Counter[str]) -> None:
        super().__init__()
        self.trial, self.number, self.house, self.proxy, self.met = trial, number, house, proxy, met
        self.name = f"model-{uuid.uuid4().hex[:8]}"
        self.home = places.place(trial.home / self.name, house, proxy.url)
        self.home.environ.update(places.SMALL)
        self.jobs: list[Job] = []
        self.ledgers: list[str] = []
        self.logged = 0
        self.faults: list[Fault] = []
        self.fsynced = Fsynced(trial.home / f"{self.name}.fsynced")
        self.names = Names(trial.home / f"{self.name}.names")
        self.kills = 0
        self.promised_only = 0  # of so many ledgers: their disk has lost its power since
        self.death = threading.Lock()  # held while the house is about to die of a request, or comes back
        proxy.rule = self._weather

    def _weather(self, request: Received) -> Fault | None:
        fault = self.faults.pop() if self.faults and request.method in ("POST", "PATCH") else None
        if isinstance(fault, Death):
            self.met["the house died in a request"] += 1
            fault.begun.acquire()
        return fault

    @initialize(after=st.integers(-30, 15))
    def begin_one(self, after: int) -> None:
        """The house dies of its first request, so many milliseconds after it came, unless they are negative."""
        self.begin(0, None)
        self.log(0, 5, None, True)
        if after >= 0:
            self.faults.append(Death(self.house, after / 1000, self.death))

    @rule(which=st.integers(0, 2), crash=_BEGINNING)
    def begin(self, which: int, crash: Crash | None) -> None:
        """A job of a run that is new, or that others have, or had."""
        if len(self.jobs) == _MOST_JOBS:
            return
        ledger = str(self.trial.home / f"{self.name}-{len(self.ledgers)}.ledger")
        self.ledgers.append(ledger)
        environ = {name: text for name, text in self.home.environ.items() if name != "TRACEHOUSE_API_KEY"}
        job = Job(environ, ledger, f"{self.name}.{which}", self.fsynced, self.names, crash)
        if job.answers():
            self.jobs.append(job)
        else:
            self._died("a job died as it began", crash)

    @rule(at=st.integers(0, 2), count=st.integers(1, 8), crash=_CRASH, flush=st.booleans())
    def log(self, at: int, count: int, crash: Crash | None, flush: bool) -> None:
        if not self.jobs:
            return
        job = self.jobs[at % len(self.jobs)]
        start, self.logged = self.logged, self.logged + count
        if not job.log(start, count, crash, flush):
            self._died("a job died at an effect", crash)
            self.jobs.remove(job)

    @rule(at=st.integers(0, 2))
    def finish(self, at: int) -> None:
        if self.jobs:
            self.jobs.pop(at % len(self.jobs)).finish()

    @rule(at=st.integers(0, 2))
    def kill(self, at: int) -> None:
        if self.jobs:
            job = self.jobs.pop(at % len(self.jobs))
            job.part.kill()
            job.end()

    @rule(names=st.lists(st.sampled_from(sorted(_FAULTS)), min_size=1, max_size=4))
    def weather(self, names: list[str]) -> None:
        """What the next requests meet, but for a death that waits for one."""
        self.faults = [*(_FAULTS[name] for name in names), *(one for one in self.faults if isinstance(one, Death))]

    @rule(crash=_CRASH)
    def upload(self, crash: Crash | None) -> None:
        self.log(0, 2, None, False)  # there is something to do
        self._agent(crash, lambda engine, session: engine.drain(session).outcome.complete)

    @rule(crash=_DELETION | _CRASH, settled=st.integers(0, 3))
    def prune(self, crash: Crash | None, settled: int) -> None:
        """``settled``: there is something to delete, unless 0."""
        while settled and self.jobs:
            self.jobs.pop().finish()
        if settled:
            self._agent(None, lambda engine, session: engine.drain(session).outcome.complete)
        self._agent(crash, lambda engine, session: not prune_session(engine, session).kept)

    @rule(after=st.integers(-5, 15))
    def kill_house(self, after: int) -> None:
        """Now, or so many milliseconds after the next request reached it. It takes long to begin again, so not each time."""
        self.kills += 1
        if self.kills % 3 != 2:
            return
        if after < 0:
            self.met["the house died between two"] += 1
            with self.death:
                self.house.kill()
                self.house.start()
        else:
            self.faults.append(Death(self.house, after / 1000, self.death))

    @rule(rarely=st.integers(0, 2), some=st.integers(0, 1 << 16))
    def lose_power(self, rarely: int, some: int) -> None:
        """All jobs end, and of names, and of what is in files, what was not fsynced goes; unless ``some`` is 0, some of it only."""
        if rarely:
            return
        self.met["power was lost"] += 1
        self.log(0, 2, None, True)  # there is something promised
        while self.jobs:
            job = self.jobs.pop()
            job.part.kill()
            job.end()
        self.promised_only = len(self.ledgers)
        chance = random.Random(some) if some else None
        self.met[_NAMELESS] += self.names.lose(self.home.directory, _PLACES, chance)
        files = [path for place in _PLACES for path in sorted((self.home.directory / place).rglob("*"))]
        self.fsynced.lose_tails(
            path for path in files if path.is_file() and not (chance is not None and chance.random() < 0.5)
        )

    def _agent(self, crash: Crash | None, work: Callable[[Engine, str], bool]) -> bool:
        """One pass over all sessions, in a process that may not see the end of it; whether all of it is done."""

        def main(steps: Steps) -> None:
            self.names.install()
            steps.end_at(crash)
            engine = Engine(resolve(environ=os.environ), os.environ)
            sessions = session_dirs(str(self.home.spool))
            # nothing was promised of those whose manifest a power failure took
            done = [work(engine, one) for one in sessions if not self.promised_only or _has_manifest(one)]
            engine.close()
            if not all(done):
                os._exit(_LEFT)

        code = Part(main, self.home.environ, self.fsynced).wait()
        with self.death:
            pass  # a house that died of its last request is back
        assert code in (0, _LEFT) or (crash is not None and code == -signal.SIGKILL), f"the agent ended with {code}"
        if code < 0:
            self._died("an agent died at an effect", crash)
        return code == 0

    def _died(self, what: str, crash: Crash | None) -> None:
        self.met[what] += 1
        self.met[_FAR] += crash is not None and crash[1] > _FIRST

    def teardown(self) -> None:
        """All comes to rest: then each record that a call returned for is in the house, once."""
        self.faults = []
        for job in self.jobs:
            job.finish()
        account = oracle.Account()
        for number, ledger in enumerate(self.ledgers):
            one = oracle.Account().add(ledger)
            if number < self.promised_only:
                one.done = set(one.promised)
            account.join(one)
        told = self.trial.home / f"{self.name}.left"

        def drain(engine: Engine, session: str) -> bool:
            outcome = engine.drain(session).outcome
            if not outcome.complete:
                told.write_text(f"{os.listdir(session)} {session}: {outcome}")
            return outcome.complete

        tries = (self._agent(None, drain) for _ in range(8))
        assert any(tries), f"something is left however often it is tried: {told.read_text()}"
        verdict = places.verdict(self.house, self.name, account)
        self.met["stories"] += 1
        self.met.update(f"at {kind}" for kind in self.fsynced.deaths())
        self.trial.add(self.number, verdict)
        assert verdict.good, verdict.text()


def _has_manifest(session: str) -> bool:
    try:
        return bool(read_manifest(session))
    except TracehouseError:
        return False
