"""The soak's jobs: how each of them begins, how it may end, and what must have become of what it logged."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.strace import failing
from tortures import clocks, endings, job_calls, places
from tortures.job_errors import KINDS
from tortures.trial import Trial

_JOB = """
import time
work = Work(book, sys.argv[2], sys.argv[3], sys.argv[4])
n = 0
while n < 400:
    work.some(5, start=n); n += 5
    time.sleep(0.05)
for _ in range(600):
    if work.flush(): break
    time.sleep(0.1)
else: sys.exit("no flush succeeded, though there was space again")
work.finish()
"""
_FRESH = """
work = Work(book, sys.argv[2], "fresh", sys.argv[2])
work.some(20)
print("ready", flush=True)
sys.stdin.readline()
work.finish()
"""
_AGAIN = """
for name, ledger in zip(sys.argv[2::2], sys.argv[3::2]):
    work = Work(Ledger(ledger), name, "again", name)
    work.point(1); work.span(1)
    work.finish()
"""
_LONGEST = 600.0  # seconds, after which a job is held to be stuck
_LINGERS = 100.0  # seconds, after which a job's children are
# of row 12's endings, those that need no signal: the nemesis sends plenty
_ENDINGS = ("end", "os._exit", "exit in atexit", "log in atexit", "raise", "sys.exit")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
_NO_CHILDREN = "the children ended with"  # row 12's script says so of its own
_TIMES = ("{}", "{}+3")  # as strace has it: once, and now and then
_CLOCKS = ("+2d", "-2d", "@2038-01-19 03:14:05", "@2039-07-01 00:00:00")
_TOLD = re.compile(r"(\d+) records could not be written to the spool")
_FLUSHED = ("plain", "clock")  # kinds that end with a flush that was True


@dataclass
class Life:
    """One job, and what befell it. The ids of all that it logs begin with ``name``, which ends with a dot.

    ``damaged``: bytes of its sessions, by id, that are no record any more; ``left``: what that left."""

    job: subprocess.Popen[str]
    name: str
    ledger: Path
    kind: str
    what: str = ""
    codes: tuple[int, ...] = (0,)
    struck: bool = False
    cramped: bool = False
    damaged: dict[str, int] = field(default_factory=dict)
    left: set[oracle.Item] | None = None
    began: float = field(default_factory=time.monotonic)

    def strike(self, number: signal.Signals) -> None:
        """Hit the job itself, not the strace that it runs under."""
        self.struck = True
        for pid in _children(self.job.pid) if self.kind == "faults" else [self.job.pid]:
            if self.job.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def complaint(self) -> str:
        """What is wrong with how it ended, once it has."""
        try:
            _, err = self.job.communicate(timeout=_LINGERS)
        except subprocess.TimeoutExpired:
            return f"what a job ({self.kind} {self.what}) began lives on after it"
        code = self.job.returncode
        if code in self.codes or (self.struck and -code in (signal.SIGKILL, signal.SIGTERM)):
            return ""
        if self.cramped and code == 1 and _NO_CHILDREN in err:
            return ""  # they could not attach to a run that found no place on the disk
        if self.kind == "clock" and -code == signal.SIGSEGV:
            # libfaketime reads the environment at each look at the clock, beside a thread that may change it; no signal but like one
            self.struck = True
            return ""
        said = err if len(err) < 3000 else f"{err[:1500]} … {err[-1500:]}"
        return f"a job ({self.kind} {self.what}) ended with {code}: {said}"

    @property
    def is_stuck(self) -> bool:
        return self.job.poll() is None and time.monotonic() - self.began > _LONGEST

    @property
    def may_drop(self) -> bool:
        """Whether its disk refused it something: no other job has a reason to."""
        return self.cramped or self.kind == "faults"

    @property
    def told(self) -> int:
        """How many records it said on its logger to be lost with it, where its disk took no more."""
        log = self.ledger.with_name(f"{self.ledger.name}.log")
        return sum(map(int, _TOLD.findall(log.read_text()))) if log.exists() else 0

    def account(self) -> oracle.Account:
        """What must be there. While a disk takes nothing records wait in memory: of a job that ends then, other than after a flush
        that was True, only what an earlier one was True for."""
        account = oracle.Account().add(self.ledger)
        if (self.kind == "faults" and self.struck) or (self.cramped and (self.struck or self.kind not in _FLUSHED)):
            account.done = set(account.promised)
        if self.left is not None:
            account.done &= self.left
            account.promised &= self.left
        return account


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Cradle:
    """Where jobs begin: of each kind one, and then by chance."""

    def __init__(self, trial: Trial, home: Home, chance: random.Random) -> None:
        self._trial = trial
        self._home = home
        self._chance = chance
        self._count = 0
        self._script = trial.home / "ways.py"
        self._script.write_text(endings.SCRIPT)
        self._shares = {"plain": 6, "ways": 2}
        self._begun: set[str] = set()
        if shutil.which("strace"):
            self._calls = job_calls.points(trial, Home(trial.home / "counted", home.api_base), job_calls.SIZE)
            self._shares["faults"] = 2
        else:
            trial.lacks("strace", "jobs with a call that fails")
        if shutil.which("faketime"):
            self._faked = clocks.faked()
            self._shares["clock"] = 2
        else:
            trial.lacks("faketime", "jobs and agents with a false clock")

    def false_clock(self) -> dict[str, str]:
        """The environment of a process with one."""
        return {**self._faked, "FAKETIME": self._chance.choice(_CLOCKS)}

    def perhaps_false_clock(self) -> dict[str, str]:
        return self.false_clock() if "clock" in self._shares and self._chance.random() < 0.25 else {}

    @property
    def untried(self) -> list[str]:
        """The kinds of job that none was begun of."""
        return [kind for kind in self._shares if kind not in self._begun]

    def begin(self, place: int) -> Life:
        """A job, of a run of its own, or as another attempt of the run of its place."""
        [kind] = self.untried[:1] or self._chance.choices(list(self._shares), list(self._shares.values()))
        self._begun.add(kind)
        self._count += 1
        name = f"soak-{place}-{self._count}."
        if kind == "faults":
            return self._with_faults(name)
        if kind == "ways":
            return self._of_ways(name)
        if self._chance.random() < 0.5:
            name = f"soak-{place}."
        ledger = self._trial.home / f"{self._count}.ledger"
        words = (str(ledger), name, f"life{self._count}", str(self._count))
        clock = self.false_clock() if kind == "clock" else {}
        job = self._home.start_job(places.WORK + _JOB, *words, prefix=(), **clock)
        return Life(job, name, ledger, kind, clock.get("FAKETIME", ""))

    def begin_fresh(self, place: int) -> Life:
        """A job that has logged a bit, and lives on until its input ends."""
        name = f"soak-fresh-{place}."
        ledger = self._trial.home / f"{name}ledger"
        job = self._home.start_job(places.WORK + _FRESH, str(ledger), name)
        assert job.stdout is not None
        job.stdout.readline()
        return Life(job, name, ledger, "fresh")

    def begin_again(self, names: list[str]) -> list[Life]:
        """One job that logs a bit to each of these runs, as a life of each."""
        ledgers = {name: self._trial.home / f"again-{name}ledger" for name in names}
        words = [str(word) for pair in ledgers.items() for word in pair]
        job = self._home.start_job(places.WORK + _AGAIN, os.devnull, *words)
        return [Life(job, name, ledger, "again") for name, ledger in ledgers.items()]

    def _with_faults(self, name: str) -> Life:
        call, error = self._chance.choice(KINDS)
        when = self._chance.choice(_TIMES).format(self._chance.choice([at for of, at in self._calls if of == call]))
        words = job_calls.words(self._trial, self._home, name, job_calls.SIZE)
        job = self._home.start_job(job_calls.SCRIPT, *words, prefix=failing(call, error, when))
        return Life(job, name, job_calls.ledger(self._trial, name), "faults", f"{error} of {call} at {when}")

    def _of_ways(self, name: str) -> Life:
        how, ending = self._chance.choice(endings.STARTS), self._chance.choice(_ENDINGS)
        ledger = self._trial.home / f"{name}ledger"
        job = subprocess.Popen(
            [sys.executable, str(self._script), str(ledger), name, how, ending],
            env={key: value for key, value in self._home.environ.items() if key != "TRACEHOUSE_API_KEY"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Life(job, name, ledger, "ways", f"{how}, {ending}", endings.codes(ending))
