"""SIGKILL, or an error, at the k-th call of a system call: by strace, at the boundary where it would happen."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from tests.support.lanes import needs_linux, needs_tool

# stopped at the calls named only, not at each of the thousands that a start of Python makes; a signal cannot be sent from there
_QUICKLY = "--seccomp-bpf"
_NOWHERE = Path("/dev/null")
_HELD = 100_000_000  # microseconds, far longer than a kill takes


def killing(call: str, when: int) -> tuple[str, ...]:
    """The words before a command that is to be killed at its ``when``-th ``call`` (before it takes effect), in any thread. It then ends
    with -SIGKILL, as strace itself does after it."""
    return (*_strace(), *_injecting(call, f"signal=KILL:when={when}"))


def holding(log: Path, call: str, when: int, *paths: Path, done: bool) -> tuple[str, ...]:
    """The words before a command that ``kill_held`` is to kill at its ``when``-th ``call``, in any thread: where the call has not been
    done, or has, and the command never learnt of it. Where ``paths`` are given, only calls on one of them count.

    As ``killing``, but stopped at few calls: strace has the kernel skip what is not to be done, and holds the thread at the exit.
    """
    os.mkfifo(log)
    only = [word for path in paths for word in ("-P", str(path))]
    skipped = "" if done else "error=EIO:"
    return (*_strace(), _QUICKLY, *only, *_injecting(call, f"{skipped}delay_exit={_HELD}:when={when}", log))


def kill_held(command: subprocess.Popen[str], log: Path) -> None:
    """Once one of its threads is held, or it has ended."""
    with open(log, errors="replace") as told:
        for line in told:
            if line.endswith("(DELAYED)\n"):
                with suppress(ProcessLookupError):  # it is killed already, by what was told of another of them
                    os.kill(int(line.split()[0]), SIGKILL)  # a thread's id, which kills all of them
                command.kill()  # strace, which would look at it only after the whole time
    log.unlink()


def signalling(call: str, signal: str, when: int) -> tuple[str, ...]:
    """The words before a command that is to get a signal (TERM, HUP, …) at its ``when``-th ``call``."""
    return (*_strace(), *_injecting(call, f"signal={signal}:when={when}"))


def failing(call: str, error: str, when: str, log: Path = _NOWHERE) -> tuple[str, ...]:
    """The words before a command whose ``call`` is to fail with an errno's name; ``when`` as strace has it: 3, 3+, 2+2."""
    return (*_strace(), _QUICKLY, *_injecting(call, f"error={error}:when={when}", log))


def injected(log: Path) -> int:
    """How many calls were made to fail."""
    return log.read_text(errors="replace").count("(INJECTED)")


def _injecting(call: str, how: str, log: Path = _NOWHERE) -> tuple[str, ...]:
    return ("-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{how}")


def slowing(pid: int, call: str, path: Path, delay: int) -> list[str]:
    """The command that makes each such call of a running process, on this file, wait for ``delay`` microseconds before its effect."""
    how = ["-e", f"trace={call}", "-e", f"inject={call}:delay_enter={delay}"]
    return [*_strace(), "-o", "/dev/null", "-P", str(path), *how, "-p", str(pid)]


def counting(log: Path, *calls: str) -> tuple[str, ...]:
    """The words before a command whose calls are to be written down."""
    return (*_strace(), _QUICKLY, "-o", str(log), "-e", f"trace={','.join(calls)}")


def counts(log: Path) -> dict[str, int]:
    """How often each call was made, the busiest thread's: strace counts each thread's by itself."""
    found: dict[tuple[str, str], int] = {}
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+)\s+([a-z0-9_]+)\(", line)
        if match:
            found[match[1], match[2]] = found.get((match[1], match[2]), 0) + 1
    most: dict[str, int] = {}
    for (_, call), count in found.items():
        most[call] = max(count, most.get(call, 0))
    return most


def numbered(log: Path, mark: str) -> list[tuple[str, int]]:
    """(call, its number from 1 among those of its name) of what the thread that first names ``mark`` did from there on."""
    found: list[tuple[str, int]] = []
    numbers: dict[tuple[str, str], int] = {}
    thread = ""
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+)\s+([a-z0-9_]+)\(", line)
        if match:
            numbers[match[1], match[2]] = numbers.get((match[1], match[2]), 0) + 1
            thread = thread or (match[1] if mark in line else "")
            if match[1] == thread:
                found.append((match[2], numbers[match[1], match[2]]))
    return found


def _strace() -> tuple[str, ...]:
    needs_linux()
    return (needs_tool("strace"), "-f", "-qq")
