"""Programs asked in the background: git, nvidia-smi. What they do not say within their time is not known."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

GPU_FACTS = ("index", "name", "memory.total", "driver_version", "compute_cap")
GPU_LOAD = ("index", "utilization.gpu", "memory.used", "memory.total", "temperature.gpu", "power.draw")


def ask(command: Sequence[str], *, cwd: str | None = None, timeout: float = 10.0) -> str | None:
    """What the program prints, without the last newline; None if it is missing, fails, or takes longer (seconds)."""
    import subprocess

    env = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def gpus(fields: Sequence[str], timeout: float = 10.0) -> list[dict[str, str]] | None:
    """One dict a GPU: field → text, what the card does not tell left out. None where nvidia-smi gives no answer."""
    told = ask(("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"), timeout=timeout)
    if told is None:
        return None
    rows = [[cell.strip() for cell in line.split(",")] for line in told.splitlines() if line.strip()]
    return [
        {field: cell for field, cell in zip(fields, row) if cell and not cell.startswith("[")}
        for row in rows
        if len(row) == len(fields)
    ]


def number(text: str | None) -> float | None:
    """The number in it, if it is one."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
