"""An agent of one's own, driven as its user would: its programs, its files, its signals; and jobs that write into its spool."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = "import sys; from tracehoused.cli.main import {0}; {0}(prog_name='{0}')"


class Site:
    """A user's home: configuration, state, spool, and the key of a house in its environment."""

    def __init__(
        self, home: Path, *, api_base: str = "http://127.0.0.1:9", key: str | None = "ba_test", **variables: str
    ):
        self.home = home
        self.spool = home / "spool"
        self.state = home / "state"
        self.config = home / "config"
        self.config.mkdir(parents=True)
        ours = {
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "TRACEHOUSE_CONFIG_DIR": str(self.config),
            "TRACEHOUSE_STATE_DIR": str(self.state),
            "TRACEHOUSE_SPOOL_DIR": str(self.spool),
            "TRACEHOUSE_API_BASE": api_base,
        }
        if key is not None:
            ours["TRACEHOUSE_API_KEY"] = key
        self.environ = {**os.environ, **ours, **variables}
        self.jobs: list[subprocess.Popen[bytes]] = []

    def run(self, program: str, *words: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(program), *words],
            env=self.environ, capture_output=True, text=True, timeout=90, cwd=self.home, **how,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def tracehoused(self, *words: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
        return self.run("tracehoused", *words, check=check, **how)

    def tracehouse(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("tracehouse", *words, check=check)

    def start(self, *words: str, **how: Any) -> int:
        """The agent in the background; its pid."""
        self.tracehoused("start", *words, **how)
        return int(self.pidfile()["pid"])

    def pidfile(self) -> dict[str, Any]:
        found = (self.state / "agent.pid").read_text()
        return dict(json.loads(found)) if found else {}

    def status(self) -> dict[str, Any]:
        """`tracehoused status --json`."""
        return dict(json.loads(self.tracehoused("status", "--json", check=False).stdout))

    def sessions(self) -> list[dict[str, Any]]:
        """`tracehouse status --json`."""
        return list(json.loads(self.tracehouse("status", "--json").stdout)["sessions"])

    def log(self) -> list[dict[str, Any]]:
        path = self.state / "tracehoused.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def job(self, code: str, *words: str) -> subprocess.Popen[bytes]:
        """A process that logs; it reads lines from its standard input if its code does."""
        source = "import sys\nimport tracehouse as cm\n" + textwrap.dedent(code)
        process = subprocess.Popen(
            [sys.executable, "-c", source, *words], env=self.environ, cwd=self.home,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.jobs.append(process)
        return process

    def finished_job(self, code: str, *words: str) -> None:
        job = self.job(code, *words)
        assert job.communicate(timeout=60) is not None
        assert job.returncode == 0

    def close(self) -> None:
        """End whatever runs."""
        for job in self.jobs:
            if job.poll() is None:
                job.kill()
            job.communicate()
        try:
            pid = self.pidfile().get("pid")
        except (FileNotFoundError, ValueError):
            return
        if pid and is_alive(pid):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_alive(pid), what="the agent's end")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def without_privileges() -> None:
    """For a child before its program begins: modes are to keep out root, too."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def modes_hold(tmp_path: Path) -> bool:
    """Whether a process begun ``without_privileges`` is kept out by them."""
    shut = tmp_path / "shut"
    shut.mkdir(0)
    asked = [sys.executable, "-c", "import os, sys; os.listdir(sys.argv[1])", str(shut)]
    return b"PermissionError" in subprocess.run(asked, capture_output=True, preexec_fn=without_privileges).stderr


def send(job: subprocess.Popen[bytes], line: str) -> None:
    """A line to a job's standard input."""
    assert job.stdin is not None
    job.stdin.write(line.encode() + b"\n")
    job.stdin.flush()


def heard(job: subprocess.Popen[bytes]) -> str:
    """The next line of a job's standard output."""
    assert job.stdout is not None
    return job.stdout.readline().decode().strip()
