"""Row 3a: system calls of an agent fail, once, now and then, or for good: it goes on, or ends with a word, and a next one delivers all."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.strace import counting, failing, injected
from tests.support.waiting import wait_until
from tortures import job_errors, places
from tortures.trial import Trial, Unavailable

TITLE = "write, fsync, rename, unlink, flock, mkdir, open… of an agent fail at the k-th call, once and for good"
COUNT = 240
_AT_ONCE = 12
_MET = 0.8  # of the points: how many of a call are made depends on what the points before left
# taken in turn; before the second what is to be deleted is uploaded, in the third a record is refused, for its file is not there
_SYNC, _DELETION, _LETTERS, _SERVICE, _RUN_ONCE = _WAYS = ("sync", "deletion", "letters", "service", "run-once")
ERRORS = {
    **{call: job_errors.ERRORS[call] for call in ("write", "fdatasync", "fsync", "openat", "mkdir", "rename", "flock")},
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), job_errors.ERRORS["unlink"]),
    "pwrite64": ("ENOSPC", "EIO", "EDQUOT"),
    "ftruncate": ("EIO", "EROFS", "ENOSPC"),
}
_PATIENCE = 60.0
_COMMANDS = {
    _SYNC: ("tracehouse", "sync"),
    _LETTERS: ("tracehouse", "sync"),
    _SERVICE: ("tracehoused", "start", "--foreground"),
}
_JOB = """
work = Work(book, sys.argv[2], "a", sys.argv[2])
work.some(15)
work.media(15)
work.finish()
"""
# What is imported late is imported before the first call that may fail; what is said, and what wakes a thread, is writev's: no disk's.
_PROGRAM = """
import ctypes, encodings.idna, encodings.unicode_escape, importlib, io, os, pkgutil, signal, stat, stringprep, sys
for part in ("upload", "http", "identities", "service"):
    package = importlib.import_module(f"tracehoused.{part}")
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."): importlib.import_module(found.name)
from tracehoused.cli import main, run_once, start, sync
from tracehoused.config import resolve
resolve(environ={**os.environ, "TRACEHOUSE_CONFIG_DIR": "/nowhere"})
class Said(io.RawIOBase):
    def __init__(self, fd): self.fd = fd
    def fileno(self): return self.fd
    def writable(self): return True
    def write(self, data): return os.writev(self.fd, [data])
sys.stdout, sys.stderr = (io.TextIOWrapper(Said(fd), "utf-8", write_through=True) for fd in (1, 2))
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1))  # PR_SET_PTRACER: strace need not be root's
os.kill(os.getpid(), signal.SIGSTOP)  # until a fault is prepared
write = os.write
os.write = lambda fd, data: os.writev(fd, [data]) if stat.S_ISFIFO(os.fstat(fd).st_mode) else write(fd, data)
getattr(main, sys.argv.pop(1))()
"""
# one thread uploads: strace counts each one's calls by itself
_ENVIRON = {**places.SMALL, "TRACEHOUSE_JOBS": "1"}
_AT_ONCE_DELETED = {"TRACEHOUSE_RETENTION_GRACE": "0"}


def run(trial: Trial) -> None:
    if shutil.which("strace") is None:
        raise Unavailable("needs strace")
    with places.a_house(trial) as house:
        row = _Row(trial, house)
        for number, chance in trial.points():
            row.point(number, chance)
            if len(row.made) == _AT_ONCE:
                row.check()
        if row.made:
            row.check()
    trial.require(row.met >= trial.made * _MET, trial.made, f"only {row.met} of {trial.made} faults hit")
    trial.notes.append(f"{row.met} faults hit, {row.refused} records refused meanwhile")


class _Row:
    """Points that share a home until they are checked. ``met``: faults that hit; ``refused``: dead letters that were sent again."""

    def __init__(self, trial: Trial, house: House) -> None:
        self._trial, self._house = trial, house
        self.made: dict[str, tuple[int, str]] = {}
        self.met = self.refused = 0
        self._calls = self._counted()
        self._home = self._place("first")

    def _place(self, name: str) -> Home:
        home = places.place(self._trial.home / name, self._house)
        home.environ.update(_ENVIRON)
        return home

    def _counted(self) -> dict[str, list[tuple[str, int]]]:
        """By way: each (call, its number from 1 in its thread) on a file of the agent's own, or of the spool."""
        home = self._place("counted")
        self._job(home, "counted")
        found = {}
        for way in (_RUN_ONCE, _DELETION):
            log = self._trial.home / f"calls of {way}"
            with _Agent(home, way, log.with_suffix(".said")) as agent:
                agent.trace(*counting(log, *ERRORS), "-y")
                assert agent.ended() == 0, agent.said
            found[way] = sorted(set(_numbered(log, str(home.directory))))
        return found

    def point(self, number: int, chance: random.Random) -> None:
        if not self.made:
            self._home = self._place(f"home-{number}")
        way = _WAYS[number % len(_WAYS)]
        name = f"fault-{self._trial.seed}-{number}."
        calls = self._calls.get(way, self._calls[_RUN_ONCE])
        call = chance.choice(sorted({call for call, _ in calls}))
        error = chance.choice(ERRORS[call])
        # an agent that runs has begun long ago, and has a thread that uploads but two sessions
        k = chance.choice([at for of, at in calls if of == call]) if way != _SERVICE else chance.randint(1, 2)
        when = job_errors.TIMES[number % len(job_errors.TIMES)].format(k)
        self.made[name] = (number, f"{way}, {error} of {call} at {when}:")
        log = self._trial.home / f"{name}injected"
        self._meet(way, name, failing(call, error, when, log), log)
        self.met += injected(log) > 0

    def _meet(self, way: str, name: str, fault: tuple[str, ...], log: Path) -> None:
        """An agent meets the fault, and ends, or lives on: with a word, not with a traceback."""
        number, where = self.made[name]
        with _Agent(self._home, way, self._trial.home / f"{name}said") as agent:
            try:
                if way == _SERVICE:
                    self._live_on(agent, name, fault, log)
                else:
                    self._job(self._home, name)
                    self._prepare(way, name)
                    agent.trace(*fault)
                    code = agent.ended()
                    # 2: it could not even begin
                    good = code in (0, 1) or (code == 2 and "started" not in agent.said)
                    self._trial.require(good, number, f"{where} it ended with {code}: {agent.said}")
            except (AssertionError, subprocess.TimeoutExpired) as error:
                self._trial.violated(number, f"{where} {error}: {agent.said}")
            self._trial.require("Traceback" not in agent.said, number, f"{where} {agent.said}")

    def _prepare(self, way: str, name: str) -> None:
        if way == _DELETION:
            done = self._home.sync()
            places.check_sync(self._trial, self.made[name][0], done, code=None)
        if way == _LETTERS:  # away with the media files: records that name them are refused
            for media in self._home.spool.glob(f"run-{name}*/media"):
                media.rename(media.with_name("hidden"))

    def _live_on(self, agent: _Agent, name: str, fault: tuple[str, ...], log: Path) -> None:
        """And uploads all there is once the fault is gone."""
        number, where = self.made[name]
        status = self._home.directory / "state" / "status.json"
        status.unlink(missing_ok=True)
        agent.go_on()
        wait_until(lambda: status.exists() or agent.has_ended, what="the agent's first look")
        agent.trace(*fault)
        self._job(self._home, name)
        wait_until(lambda: injected(log) or agent.has_ended, what="a fault")
        agent.leave()
        self._trial.require(not agent.has_ended, number, f"{where} it ended: {agent.said}")
        agent.drain()
        code = agent.ended()
        self._trial.require(code == 0, number, f"{where} it ended with {code}: {agent.said}")
        found = places.verdict(self._house, name, oracle.Account().add(self._ledger(name)))
        self._trial.require(found.good, number, f"{where} then uploaded: {found.text()} {agent.said}")

    def check(self) -> None:
        """With no fault any more: all is delivered, and proven, once; what was refused is accepted; and all can be deleted."""
        trial, home, last = self._trial, self._home, max(number for number, _ in self.made.values())
        self._show()
        letters = home.run("deadletters", "retry", str(home.spool))
        trial.require(letters.code == 0, last, f"deadletters retry ended with {letters.code}: {letters.err[-800:]}")
        self.refused += int(letters.out.split()[0])
        places.check_sync(trial, last, places.sync_until_done(home))
        places.check_verify(trial, last, home)
        accounts = {name: oracle.Account().add(self._ledger(name)) for name in self.made}
        for name, verdict in places.verdicts(self._house, accounts).items():
            trial.add(self.made[name][0], verdict, self.made[name][1])
        home.run("prune", "--older-than", "0", str(home.spool))
        left = [
            str(path.relative_to(home.spool))
            for path in home.spool.rglob("*.jsonl")
            if path.parent.parent.name != "upload"
        ]
        trial.require(not left, last, f"acknowledged, and not deleted: {left[:5]}")
        self.made = {}

    def _job(self, home: Home, name: str) -> None:
        home.job(places.WORK + _JOB, str(self._ledger(name)), name)

    def _ledger(self, name: str) -> Path:
        return self._trial.home / f"{name}ledger"

    def _show(self) -> None:
        for hidden in self._home.spool.glob("*/hidden"):
            hidden.rename(hidden.with_name("media"))


class _Agent:
    """One that waits, with all imported, until it is traced or told to go on."""

    def __init__(self, home: Home, way: str, said: Path) -> None:
        words = _COMMANDS.get(way, ("tracehoused", "run-once"))
        more = _AT_ONCE_DELETED if way == _DELETION else {}
        self._said = said
        with open(said, "wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *words],
                env={**home.environ, **more},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        os.waitpid(self._process.pid, os.WUNTRACED)
        self._tracer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.leave()

    @property
    def said(self) -> str:
        return self._said.read_text()[-1600:]

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def trace(self, *strace: str) -> None:
        pid = self._process.pid
        self._tracer = subprocess.Popen([*strace, "-p", str(pid)], stderr=subprocess.DEVNULL)
        wait_until(partial(_is_traced, pid), what="strace at the agent")
        self.go_on()

    def leave(self) -> None:
        """No fault any more."""
        if self._tracer is not None:
            self._tracer.terminate()
            self._tracer.wait(_PATIENCE)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def drain(self) -> None:
        self._process.send_signal(signal.SIGUSR1)

    def ended(self) -> int:
        """Its exit code."""
        code = self._process.wait(_PATIENCE)
        self.leave()
        return code


def _numbered(log: Path, mark: str) -> list[tuple[str, int]]:
    """(call, its number from 1 in its thread) of all the calls on what has ``mark`` in its path."""
    found: list[tuple[str, int]] = []
    numbers: dict[tuple[str, str], int] = {}
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+)\s+([a-z0-9_]+)\(", line)
        if match:
            thread, call = match[1], match[2]
            numbers[thread, call] = numbers.get((thread, call), 0) + 1
            if mark in line:
                found.append((call, numbers[thread, call]))
    return found


def _is_traced(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    return all("TracerPid:\t0\n" not in status.read_text() for status in threads)
