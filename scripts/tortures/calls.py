"""The system calls with which a job or an agent changed files and talked, in the order in which they had their effect; told by strace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tortures.trial import Unavailable

_OF_FILES = "write,pwrite64,writev,fsync,fdatasync,ftruncate,sendto,recvfrom"
_TRACED = f"openat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,{_OF_FILES}"
# they change files as well, and what they leave is known to nobody here: a job or an agent that makes one is an error
_UNKNOWN = (
    *("truncate", "fallocate", "copy_file_range", "sendfile", "splice", "pwritev", "pwritev2", "symlink", "symlinkat"),
    *("open", "openat2", "creat", "mknod", "mknodat", "io_uring_enter"),
)
_LINE = re.compile(r"^([0-9.]+) (\w+)\((.*)\) += (-?[0-9]+)(?:<.*>)?(?: .*)? <([0-9.]+)>$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(?!\.)')
_NAME = re.compile(r'(?:(?:AT_FDCWD|[0-9]+)<((?:\\x[0-9a-f]{2}|[^>\\])*)>, )?"((?:\\x[0-9a-f]{2})*)"')
_ANY_PATH = re.compile(r'[0-9]<((?:\\x[0-9a-f]{2}|[^>\\])*)>|"((?:\\x[0-9a-f]{2})*)"')
_OPEN_FILE = re.compile(r"^[0-9]+<((?:\\x[0-9a-f]{2}|[^>\\])*)>")


@dataclass(frozen=True)
class Call:
    """``began`` and ``ended``: seconds; ``paths``: of the files it was about, or ``socket:[number]``; ``data``: what was written, sent or
    received; ``at``: the offset of a pwrite64, or the length that a file was cut to; ``empties``: an O_TRUNC."""

    name: str
    began: float
    ended: float
    paths: tuple[str, ...]
    data: bytes = b""
    creates: bool = False
    empties: bool = False
    at: int = 0


def traced(command: list[str], environ: dict[str, str], into: Path, cwd: Path) -> list[Call]:
    """Run a command to its good end; what it did to files. What it did beside ``into`` is all to be known."""
    strace = shutil.which("strace")
    if strace is None or not sys.platform.startswith("linux"):
        raise Unavailable("needs strace, under Linux")
    into.mkdir(parents=True)
    times = ["--absolute-timestamps=unix,ns", "--syscall-times=ns"]
    words = [
        strace,
        "-ff",
        "--seccomp-bpf",
        "-qq",
        "-y",
        "-xx",
        "-s",
        "1000000",
        *times,
        "-e",
        f"trace={_TRACED},{','.join(f'?{name}' for name in _UNKNOWN)}",
        "-o",
        f"{into}/call",
    ]
    done = subprocess.run(
        [*words, *command], cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    if "not permitted" in done.stderr and not any(into.iterdir()):
        raise Unavailable("strace may not trace here")
    if done.returncode:
        raise RuntimeError(f"the traced job ended with {done.returncode}: {done.stderr[-1000:]}")
    unknown = sorted({line for path in into.iterdir() for line in _unknown(path, str(into.parent.resolve()))})
    if unknown:
        raise NotImplementedError(f"calls that change files, and that are not known here: {', '.join(unknown)}")
    found = [call for path in into.iterdir() for call in _calls(path)]
    shutil.rmtree(into)
    return sorted(found, key=lambda call: call.ended)


def _unknown(path: Path, home: str) -> Iterator[str]:
    """Names of calls that are not known here and were about something in ``home``; without a path, about anything."""
    for line in path.read_text(encoding="ascii").splitlines():
        found = _LINE.match(line)
        if found is None or found[2] not in _UNKNOWN or int(found[4]) < 0:
            continue
        if found[2] == "open" and "O_CREAT" not in found[3] and "O_TRUNC" not in found[3]:
            continue
        paths = [_text(one) if one else os.fsdecode(_bytes(other)) for one, other in _ANY_PATH.findall(found[3])]
        if not paths or any(one.startswith(home + "/") or not one.startswith("/") for one in paths):
            yield found[2]


def _calls(path: Path) -> Iterator[Call]:
    for line in path.read_text(encoding="ascii").splitlines():
        found = _LINE.match(line)
        if found is not None and found[2] not in _UNKNOWN and int(found[4]) >= 0:
            call = _call(found)
            if call is not None:
                yield call


def _call(found: re.Match[str]) -> Call | None:
    began, name, words, result = float(found[1]), found[2], found[3], int(found[4])
    ended = began + float(found[5])
    of_fd = _OPEN_FILE.match(words)
    if name in _OF_FILES.split(","):
        assert of_fd is not None, words[:200]
        strings = [_bytes(text) for text in _STRING.findall(words)]
        data = strings[0][:result] if strings else b""
        at = int(words.rpartition(", ")[2]) if name in ("pwrite64", "ftruncate") else 0
        return Call(name, began, ended, (_text(of_fd[1]),), data, at=at)
    empties = name == "openat" and "O_TRUNC" in words
    if name == "openat" and "O_CREAT" not in words and not empties:
        return None
    paths = tuple(os.path.join(_text(of), os.fsdecode(_bytes(text))) for of, text in _NAME.findall(words))
    return Call(name, began, ended, paths, creates=name == "openat", empties=empties)


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _text(escaped: str) -> str:
    """A path as strace shows it: all of it in hex, or none."""
    if "\\x" not in escaped:
        return escaped
    return os.fsdecode(_bytes(escaped))
