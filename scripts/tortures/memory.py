"""A group of processes that may have so much memory between them: whoever wants more the kernel kills. Root's, under Linux."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tortures.disks import need_root
from tortures.trial import Unavailable

_ROOT = Path("/sys/fs/cgroup")
_NEW, _OLD = ("memory.max", "memory.swap.max"), ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")


class Group:
    """``procs``: the file that a process writes its pid into to belong to it from then on."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self.procs = path / "cgroup.procs"
        of_memory, of_swap = _NEW if (path / _NEW[0]).exists() else _OLD
        (path / of_memory).write_text(str(limit))
        if (path / of_swap).exists():
            (path / of_swap).write_text("0" if of_swap in _NEW else str(limit))

    def kills(self) -> int:
        """How many processes the kernel has killed in it."""
        for name in ("memory.events", "memory.oom_control"):
            if (self._path / name).exists():
                return sum(int(line.split()[1]) for line in _lines(self._path / name) if line.split()[0] == "oom_kill")
        return 0


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _parent() -> Path:
    """Where a group with a limit of its own can be made."""
    need_root()
    if (_ROOT / "memory" / _OLD[0]).exists() or (_ROOT / "memory" / "cgroup.procs").exists():
        return _ROOT / "memory"
    try:
        if "memory" in (_ROOT / "cgroup.subtree_control").read_text().split():
            return _ROOT
    except OSError:
        pass
    raise Unavailable("needs control groups with a limit of memory")


@contextmanager
def limited(limit: int) -> Iterator[Group]:
    """A group of at most ``limit`` bytes. Unavailable where none can be made."""
    parent = _parent()
    try:
        path = Path(tempfile.mkdtemp(prefix="tracehouse-torture-", dir=parent))
    except OSError as error:
        raise Unavailable(f"may not make a control group: {error}") from error
    try:
        yield Group(path, limit)
    finally:
        os.rmdir(path)
