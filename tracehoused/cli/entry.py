"""The two console scripts: the commands, or one line where what they need is not installed (jobs need none of it)."""

from __future__ import annotations

import sys

__all__ = ["tracehouse", "tracehoused"]

_NEEDS = ("click", "httpx", "platformdirs", "tomli", "watchdog")


def tracehouse() -> None:
    _run("tracehouse")


def tracehoused() -> None:
    _run("tracehoused")


def _run(name: str) -> None:
    try:
        from tracehoused.cli import main

        (main.tracehouse if name == "tracehouse" else main.tracehoused)(prog_name=name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDS:
            raise
        install = f"{sys.executable} -m pip install tracehouse-sdk"
        sys.exit(f"{name} needs {missing}, which is not installed here (jobs that only log do not). Install: {install}")
