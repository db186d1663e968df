"""The agent in a process of its own, and what it costs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benches.procs import SCRIPTS, WorkerDied

REST = 65  # seconds after which threads have ended that uploads needed, and sessions count as recording no more
_START = "from tracehoused.cli.main import tracehoused; tracehoused(['start', '--foreground', '--spool', {spool!r}])"


@contextlib.contextmanager
def agent(spool: Path, environ: Mapping[str, str], log: Path) -> Iterator[int]:
    """``tracehoused start`` for one spool; gives its process id."""
    with log.open("w+") as file:
        command = [sys.executable, "-c", _START.format(spool=str(spool))]
        process = subprocess.Popen(command, env=dict(environ), stdout=file, stderr=file, cwd=SCRIPTS)
        try:
            yield process.pid
        finally:
            if process.poll() is not None:
                raise WorkerDied(f"the agent ended: {log.read_text()[-1000:]}")
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processor so far, all threads."""
    try:
        total = 0
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9
    except FileNotFoundError:
        told = subprocess.run(["ps", "-o", "cputime=", "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=True)
        parts = [float(part) for part in told.stdout.strip().replace("-", ":").split(":")]
        return sum(part * 60.0**n for n, part in enumerate(reversed(parts)))


def settle(pid: int, seconds: float) -> bool:
    """Wait until a process is idle (under 1 % of a core for two seconds), at most ``seconds``."""
    until = time.monotonic() + seconds
    calm = 0
    while time.monotonic() < until:
        before = cpu_seconds(pid)
        time.sleep(1)
        calm = calm + 1 if cpu_seconds(pid) - before < 0.01 else 0
        if calm >= 2:
            return True
    return False
