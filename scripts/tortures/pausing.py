"""An agent that waits in the middle of its first deletion, until it is told to go on."""

from __future__ import annotations

import random
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.home import Home

# of a deletion, after one of which it waits
_STEPS = ("_write_receipt", "_move", "_move_media", "_refers_to_media")
_AGENT = """
import sys
from tracehoused.cli.main import tracehoused
from tracehoused.service import retention

name = sys.argv.pop(1)
step = getattr(retention, name)

def waiting(*args):
    setattr(retention, name, step)
    done = step(*args)
    print("deleting", flush=True)
    sys.stdin.readline()
    return done

setattr(retention, name, waiting)
tracehoused()
"""


class PausingAgent:
    """``code``: its exit code, once it has ended."""

    def __init__(self, home: Home, step: str, **more: str) -> None:
        self._log = home.directory / "agent.log"
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _AGENT, step, "start", "--foreground"],
                env={**home.environ, **more},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.code: int | None = None

    def deletes(self) -> bool:
        """Whether it has come to where it waits. It says so at once, or never: the time bounds only a failure."""
        [ready, *_] = select.select([self._stdout], [], [], 60)
        return bool(ready) and self._stdout.readline() == "deleting\n"

    def go_on(self) -> None:
        self._stdin.close()

    def end(self) -> None:
        self.go_on()
        self._process.terminate()
        self.code = self._process.wait(60)
        self._stdout.close()

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]


@contextmanager
def pausing(home: Home, chance: random.Random, **more: str) -> Iterator[PausingAgent]:
    agent = PausingAgent(home, chance.choice(_STEPS), **more)
    try:
        yield agent
    finally:
        agent.end()
