"""Commands as processes of their own that begin with all imported: each is forked from one that waits with it.

Python's start, and what a command imports, takes several times as long as what most tests have it do. The code that runs is the same,
and so are its arguments, environment and files; it is a child that can be killed, stopped, traced and waited for. What is traced from
its first call, has an environment that Python itself reads, or limits or a network of its own, begins as a user's does; under
``scripts/test --full`` and ``scripts/torture`` all do.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any, ClassVar, Union

__all__ = ["begin", "enable"]

ROOT = Path(__file__).resolve().parents[2]
# what Python is told to run, before its arguments
COMMANDS = ("-m", "tracehoused.cli")
AGENT = ("-c", "from tracehoused.cli.main import tracehoused; tracehoused()")
HOUSE = ("-m", "tracehoused.cli.serve")
# packages of ours, of which all is imported, and modules of others
_NEEDED = {
    "commands": ("cli", "upload", "http", "identities", "service", "letters", "status", "verify"),
    "house": ("cli.serve", "house.server"),
}
_OF_OTHERS = {
    "commands": ("encodings.idna",),
    "house": (
        *("sqlalchemy.dialects.sqlite.pysqlite", "uvicorn.loops.auto", "uvicorn.lifespan.on"),
        *("uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto"),
    ),
}
# what may differ from the environment that Python began with
_TOLD = ("TRACEHOUSE_", "XDG_", "HOME", "PYTEST_")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_MOST = 1 << 20  # bytes of a request

Output = Union[int, IO[Any], None]


def begin(
    program: tuple[str, str],
    words: Sequence[str],
    env: Mapping[str, str],
    *,
    stdout: Output,
    stderr: Output,
    python: str = sys.executable,
) -> subprocess.Popen[str]:
    """``python`` with a program and words for it."""
    files = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr}
    how: dict[str, Any] = {**files, "env": {**env}, "text": True}
    is_usual = _plain(env) == _plain({**os.environ, "PYTHONPATH": str(ROOT)}) and _given() == _usual
    if is_usual and python == sys.executable:
        return _Forked([*program, *words], **how)
    return subprocess.Popen([python, *program, *words], **how)


def enable() -> None:
    """From here on, where it can be."""
    global _usual
    if sys.platform.startswith("linux"):
        _usual = _given()


# what processes begin with that were forked; none are, unless there is something here
_usual: tuple[object, ...] = ()


def _given() -> tuple[object, ...]:
    """What a process gets from the thread that begins it: the network it is in, who it is, its limits."""
    if not sys.platform.startswith("linux"):
        return (None,)
    limits = [resource.getrlimit(number) for number in range(resource.RLIMIT_RTPRIO)]
    return os.readlink("/proc/thread-self/ns/net"), os.geteuid(), os.getegid(), limits


def _plain(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith(_TOLD)}


class _Forked(subprocess.Popen[str]):
    """Forked, and not begun by exec; all else of a Popen is as it is."""

    def _execute_child(self, args: list[str], *more: Any) -> None:
        cwd, env, pipes = more[4], more[5], more[9:15]
        stdin, stdout, stderr = (fd if fd != -1 else at for at, fd in enumerate((pipes[0], pipes[3], pipes[5])))
        parent = _Parent.of("house" if tuple(args[:2]) == HOUSE else "commands", _plain(env))
        self.pid = parent.fork([args, env, cwd or os.getcwd()], [stdin, stdout, stderr])
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


class _Parent:
    """One that waits with all imported, and forks when it is asked to."""

    _all: ClassVar[dict[tuple[str, frozenset[tuple[str, str]]], _Parent]] = {}
    _lock = Lock()

    def __init__(self, what: str) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), what],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    @classmethod
    def of(cls, what: str, env: dict[str, str]) -> _Parent:
        key = what, frozenset(env.items())
        with cls._lock:
            if key not in cls._all:
                cls._all[key] = cls(what)
            return cls._all[key]

    def fork(self, asked: list[Any], fds: list[int]) -> int:
        """The id of a process that is a child of this one: what it was forked by ends, and whose child it was then becomes ours."""
        with self._lock:
            _adopt(True)
            try:
                socket.send_fds(self._line, [json.dumps(asked).encode()], fds)
                return int(self._line.recv(_MOST))
            finally:
                _adopt(False)


def _adopt(orphans: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, ctypes.c_ulong(orphans), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def _import(what: str) -> None:
    for name in _NEEDED[what]:
        found = importlib.import_module(f"tracehoused.{name}")
        for part in pkgutil.iter_modules(getattr(found, "__path__", ())):
            if part.name != "__main__":
                importlib.import_module(f"{found.__name__}.{part.name}")
    for name in _OF_OTHERS[what]:
        importlib.import_module(name)


def _fork() -> int:
    """As os.fork, but that the child is an orphan by then."""
    read, write = os.pipe()
    between = os.fork()
    if between:
        os.close(write)
        os.waitpid(between, 0)
        with open(read, encoding="ascii") as told:
            return int(told.read())
    child = os.fork()
    if child:
        os.write(write, str(child).encode())
        os._exit(0)
    os.close(read)
    os.close(write)
    return 0


def _wait_as_parent(line: socket.socket) -> list[str] | None:
    """In each process that is forked: its words. Otherwise None, once nobody asks any more."""
    while True:
        text, fds, _, _ = socket.recv_fds(line, _MOST, 3)
        if not text:
            return None
        child = _fork()
        if child:
            for fd in fds:
                os.close(fd)
            line.send(str(child).encode())
            continue
        line.close()
        for at, fd in enumerate(fds):
            os.dup2(fd, at)
            os.close(fd)
        words, env, cwd = json.loads(text)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        return list(words)


def _open_again() -> None:
    """What these objects know of their files is what they were before."""
    for name, mode, buffering in (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1)):
        was = getattr(sys, name)
        made = open(was.fileno(), mode, buffering, encoding=was.encoding, errors=was.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)


def _run(kind: str, program: str, *words: str) -> None:
    sys.argv[:] = [kind, *words]
    if kind == "-c":
        exec(program, {"__name__": "__main__"})  # noqa: S102 - as Python would
        return
    sys.modules.pop(program) if "__path__" not in vars(sys.modules[program]) else None  # it runs as __main__ now
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def _main(fd: int, what: str) -> None:
    _import(what)
    gc.collect()
    gc.freeze()  # or a collection in a child would copy all of it
    words = None
    with suppress(KeyboardInterrupt), socket.socket(fileno=fd) as line:
        words = _wait_as_parent(line)
    if words is not None:
        _open_again()
        _run(*words)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2])
