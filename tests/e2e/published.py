"""The published SDK in an environment of its own, from PyPI: it is run, never read."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

from tests.support import lanes

ROOT = Path(__file__).resolve().parents[2]
VERSION = "0.6.0"
_REQUIREMENTS = (f"tracehouse-sdk=={VERSION}", "numpy", "pillow")
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "15")


def python() -> Path:
    """The interpreter of the published SDK's environment, which is made once; without it the test skips as [published]."""
    home = ROOT / f".venv-published-{VERSION}-py{sys.version_info[0]}{sys.version_info[1]}"
    home.mkdir(exist_ok=True)
    with open(home / "lock", "w") as lock:
        # several test processes may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _make(home / "venv")
            (home / "complete").touch()
    return home / "venv" / "bin" / "python"


def _make(home: Path) -> None:
    venv.create(home, with_pip=True, clear=True)
    done = subprocess.run(
        [str(home / "bin" / "python"), *_PIP, *_REQUIREMENTS], capture_output=True, text=True, env=_plain(), timeout=100
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        lanes.require("published", f"tracehouse-sdk {VERSION} cannot be had from PyPI: {lines[-1]}")


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
