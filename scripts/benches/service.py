"""What the agent costs while nothing happens, however many sessions lie in the spool."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benches.agents import REST, agent, cpu_seconds, settle
from benches.measure import Report, median, rss_mb
from benches.procs import KEY, SCRIPTS, Worker, clean, null_server

_STATUS = "from tracehoused.cli.main import tracehoused; tracehoused()"


def run(report: Report, home: Path) -> None:
    _at_rest(report, home / "live", "living", "live")
    _at_rest(report, home / "finished", "finished", "idle")
    _start(report, home / "start")


def _environ(home: Path, address: str) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    return clean(
        TRACEHOUSE_API_BASE=address,
        TRACEHOUSE_API_KEY=KEY,
        TRACEHOUSE_STATE_DIR=str(home / "state"),
        TRACEHOUSE_CONFIG_DIR=str(home / "config"),
        TRACEHOUSE_SPOOL_DIR=str(home / "spool"),
    )


def _at_rest(report: Report, home: Path, what: str, way: str) -> None:
    """``way``: how the worker makes the sessions; those of "live" have a writer that lives and records nothing."""
    count = report.size(1000, 10_000)
    home.mkdir()
    with null_server("--keep", str(home / "kept")) as address:
        environ = _environ(home, address)
        with Worker("spool_work", environ=environ) as job:
            job.ask(way, spool=str(home / "spool"), count=count)
            with agent(home / "spool", environ, home / "agent.log") as pid:
                if not (_is_settled(environ, count) and settle(pid, 60)):
                    report.note(f"beside {count:,} {what} sessions the agent did not come to rest")
                time.sleep(REST)
                seconds = report.size(20, 130)
                before = cpu_seconds(pid)
                time.sleep(seconds)
                cpu = (cpu_seconds(pid) - before) / seconds
                name = f"the agent at rest, {count:,} {what} sessions"
                report.add(f"{name}: of a core", "%", 100 * cpu, target=1.0)
                report.add(f"{name}: memory", "MB", rss_mb(pid), target=80.0)
                report.add(f"{name}: inotify watches", "", _watches(pid), target=64.0)
                if way == "idle":
                    _wakes(report, name, pid, home / "waits", seconds)


def _is_settled(environ: Mapping[str, str], count: int) -> bool:
    until = time.monotonic() + 60 + count / 20
    while time.monotonic() < until:
        told = subprocess.run(
            [sys.executable, "-c", _STATUS, "status", "--json"],
            env=dict(environ), stdout=subprocess.PIPE, text=True, cwd=SCRIPTS, check=False,
        )  # fmt: skip
        found = json.loads(told.stdout or "{}").get("agent")
        if found and found["sessions"]["total"] >= count and not found["sessions"]["pending"]:
            return True
        time.sleep(1)
    return False


def _wakes(report: Report, name: str, pid: int, told: Path, seconds: float) -> None:
    """How often a minute its threads end a wait, disks apart: what strace sees."""
    strace = shutil.which("strace")
    if strace is None:
        report.note(f"LEFT OUT {name}: woken: no strace here")
        return
    # a wait that it finds under way ends as a restart_syscall
    waits = "restart_syscall,poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,futex,nanosleep,clock_nanosleep"
    command = [strace, "-f", "-e", f"trace={waits}", "-o", str(told), "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        time.sleep(seconds)
        tracer.terminate()
    ended = [line for line in told.read_text().splitlines() if " = " in line and "detached" not in line]
    report.add(f"{name}: woken", "/min", len(ended) * 60 / seconds, target=2.0)


def _watches(pid: int) -> int:
    try:
        return sum(path.read_text().count("inotify wd") for path in Path(f"/proc/{pid}/fdinfo").iterdir())
    except FileNotFoundError:
        return 0  # no inotify on this system


def _start(report: Report, home: Path) -> None:
    """Over sessions that are noted as settled: each has its files, as an upload leaves them."""
    count = report.size(10_000, 100_000)
    environ = _environ(home, "http://127.0.0.1:9")
    with Worker("spool_work", environ=environ) as filler:
        filler.ask("settled", spool=str(home / "spool"), state=str(home / "state"), count=count)
    command = [sys.executable, "-c", _STATUS]
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([*command, "start"], env=environ, cwd=SCRIPTS, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - began)
        subprocess.run([*command, "stop"], env=environ, cwd=SCRIPTS, check=True, stdout=subprocess.DEVNULL)
    report.add(f"start over {count:,} finished sessions", "s", median(taken), target=3.0)
