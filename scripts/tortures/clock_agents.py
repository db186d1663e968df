"""The part of row 10 in which an agent's clock jumps while it runs.

It jumps five times: when there is nothing to do; in the middle of a request, with a lease held; while a server is left alone that failed;
while that is probed; and when all has arrived. The agent neither ends nor hangs, gives up no lease, and sends each record once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from tests.support import oracle
from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy, held, status
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tortures import places
from tortures.false_clocks import LEEWAY, following, seconds, shown
from tortures.leases import holder_of
from tortures.trial import Trial
from tracehoused.exceptions import LeaseHeld
from tracehoused.service import snapshot
from tracehoused.upload.lease import Lease

JUMPS = 5
# seconds, true ones: the longest wait of an agent that was refused twice is far shorter
_BOUND = 60.0
_PARTS = 4
_JOB = """
work = Work(book, sys.argv[2], "a", sys.argv[2])
for part in range(int(sys.argv[3])):
    work.some(10, start=10 * part)
    print("ready", flush=True)
    sys.stdin.readline()
work.finish()
"""


class Gate:
    """On the way to the house. ``came``: whether something has met what it does."""

    def __init__(self, url: str) -> None:
        self._does: Fault | None = None
        self._once = False
        self._go_on = threading.Event()
        self._came = threading.Event()
        self._way = Proxy(url, self._rule)
        self.url = self._way.url

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self._way.stop()

    def _rule(self, request: Received) -> Fault | None:
        does = self._does
        if does is not None:
            self._came.set()
            self._does = None if self._once else does
        return does

    def open(self) -> None:
        self._does = None
        self._go_on.set()

    def hold(self) -> None:
        """The reply to the next request waits."""
        self._go_on = threading.Event()
        self._set(held(self._go_on), once=True)

    def refuse(self) -> None:
        """So that the server is left alone, and then probed."""
        self._set(status(429, b"{}", "Retry-After: 1"), once=False)

    def _set(self, does: Fault, *, once: bool) -> None:
        self._came = threading.Event()
        self._once = once
        self._does = does

    def came(self) -> bool:
        return self._came.is_set()


class _Agent:
    def __init__(self, home: Home, clock: Path) -> None:
        self._home = home
        self._clock = clock
        self._state = home.environ["TRACEHOUSE_STATE_DIR"]
        self._set("+0")
        more = {**places.SMALL, "TRACEHOUSE_RESCAN_EVERY": "1"}
        self._process = home.start_agent(**following(clock), **more)
        self.until(lambda: snapshot.read(self._state) is not None, "its status")  # before that a signal may end it

    def _set(self, jump: str) -> None:
        """At once: it may look at any moment."""
        made = self._clock.with_suffix(".new")
        made.write_text(jump)
        os.replace(made, self._clock)

    def jump(self, jump: str) -> None:
        """And see that its clock shows it."""
        self._set(jump)

        self._process.send_signal(signal.SIGUSR2)

        def shows() -> bool:
            told = snapshot.read(self._state)
            return told is not None and abs(seconds(told["at"]) - shown(jump)) < LEEWAY

        self.until(shows, f"a status at {jump}")

    def until(self, holds: Callable[[], object], what: str) -> None:
        """AssertionError where the agent ends before, or that takes long."""
        wait_until(lambda: holds() or self._process.poll() is not None, timeout=_BOUND, what=what)
        assert self._process.poll() is None, f"it ended with {self._process.returncode}"

    def keeps_lease(self) -> None:
        """What it holds another agent, whose clock is right, is refused."""
        held = {path: holder for path in self._home.spool.glob("*/upload/lease") if (holder := holder_of(path))}
        ours = [path for path, holder in held.items() if holder[0] == self._process.pid]
        assert ours, f"no lease held in the middle of a request: {held}"
        for path in ours:
            try:
                Lease(str(path.parent.parent)).close()
            except LeaseHeld:
                continue
            raise AssertionError(f"{path} was given up")

    def end(self) -> int:
        self._process.terminate()
        return self._process.wait(60)

    def log(self) -> str:
        return (self._home.directory / "agent.log").read_text(errors="replace")


class _Job:
    """Its clock is right. It logs a part each time that it is told to."""

    def __init__(self, home: Home, ledger: Path, name: str) -> None:
        self._process = home.start_job(places.WORK + _JOB, str(ledger), name, str(_PARTS))
        self._is_ready()

    def _is_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def more(self) -> None:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        self._is_ready()

    def finish(self) -> None:
        _, err = self._process.communicate("\n", timeout=60)
        assert self._process.returncode == 0, f"the job ended with {self._process.returncode}: {err[-400:]}"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def run(trial: Trial, house: House, gate: Gate, number: int, jumps: list[str], ledger: Path, name: str) -> Home:
    """Where the job and the agent were, both of which have ended."""
    home = places.place(trial.home / str(number), house, gate.url)
    job = _Job(home, ledger, name)
    agent = _Agent(home, trial.home / f"{number}.clock")
    try:
        _play(agent, gate, job, jumps, lambda: places.verdict(house, name, oracle.Account().add(ledger)).good)
        job.finish()
        agent.until(lambda: _has_finished(house, name), "the run finished")
    except AssertionError as error:
        trial.violated(number, f"an agent that jumps {jumps}: {error}: {agent.log()[-1500:]}")
    finally:
        gate.open()
        job.kill()
        code = agent.end()
    trial.require(code == 0 and "Traceback" not in agent.log(), number, f"it ended with {code}: {agent.log()[-1500:]}")
    return home


def _play(agent: _Agent, gate: Gate, job: _Job, jumps: list[str], all_there: Callable[[], bool]) -> None:
    agent.until(all_there, "each record there once")
    agent.jump(jumps[0])
    gate.hold()
    job.more()
    agent.until(gate.came, "a request")
    agent.jump(jumps[1])
    agent.keeps_lease()
    gate.open()
    agent.until(all_there, "each record there once")
    gate.refuse()
    job.more()
    agent.until(lambda: "not uploaded: 429" in agent.log(), "the server left alone")
    agent.jump(jumps[2])
    gate.hold()
    agent.until(gate.came, "a probe")
    agent.jump(jumps[3])
    gate.open()
    job.more()
    agent.until(all_there, "each record there once")
    agent.jump(jumps[4])


def _has_finished(house: House, name: str) -> bool:
    with Held(house) as there:
        return bool(there.run(name)["status"] == "finished")
