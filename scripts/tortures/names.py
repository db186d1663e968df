"""Which names are on the disk itself, for a power failure to keep: a directory's, as they were when it was last fsynced."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tracehouse.spool import durable

__all__ = ["Names"]

_Safe = dict[int, dict[str, int]]  # names and inodes, by the inode of their directory


class Names:
    """As the processes that share ``log`` note them. What was deleted stays so, though the disk may not know of it either."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def install(self) -> None:
        """In a process that is to end with its part: which directories it fsyncs is noted from now on."""
        sync_dir, mkdir, replace = durable.sync_dir, os.mkdir, os.replace

        def synced(path: str) -> None:
            covered = {entry.name: entry.inode() for entry in os.scandir(path)}
            inode = os.stat(path).st_ino
            sync_dir(path)
            self._note(inode, covered)

        def made(path: str, *args: int) -> None:
            mkdir(path, *args)
            self._note(os.stat(path).st_ino, {})

        def replaced(source: str, target: str) -> None:
            self._forget(target)
            replace(source, target)

        durable.sync_dir, os.mkdir, os.replace = synced, made, replaced  # type: ignore[assignment]
        for name in ("unlink", "rmdir"):
            setattr(os, name, self._forgetting(getattr(os, name)))

    def _forgetting(self, remove: Callable[[str], None]) -> Callable[[str], None]:
        def removed(path: str) -> None:
            self._forget(path)
            remove(path)

        return removed

    def _forget(self, path: str) -> None:
        """Its number is soon another file's, unless it has another name."""
        with suppress(FileNotFoundError):
            found = os.lstat(path)
            if found.st_nlink == 1 or stat.S_ISDIR(found.st_mode):
                self._note(0, {"": found.st_ino})

    def _note(self, inode: int, names: dict[str, int]) -> None:
        """A directory's names; 0: not a directory's, but a number that is given back."""
        with open(self._log, "ab", buffering=0) as file:
            os.writev(file.fileno(), [json.dumps([inode, names]).encode() + b"\n"])

    def _safe(self) -> _Safe:
        safe: _Safe = {}
        for line in self._log.read_text().splitlines() if self._log.exists() else []:
            inode, names = json.loads(line)
            if inode:
                safe[inode] = names
                continue
            for known in safe.values():
                known.update((name, 0) for name, one in known.items() if one == names[""])
        return safe

    def lose(self, top: Path, names: Iterable[str], chance: random.Random | None) -> int:
        """Of a directory's names, and of all below, lose those that no fsync covered; with ``chance``, some of them. How many."""
        safe = self._safe()
        before = dict(_old_names(top, safe))
        return sum(_lose(top / name, safe, before, chance) for name in names if os.path.lexists(top / name))


def _old_names(directory: Path, safe: _Safe) -> Iterator[tuple[int, Path]]:
    """Names by inode that are on the disk, and were given up since."""
    known = safe.get(directory.stat().st_ino, {})
    yield from ((inode, directory / name) for name, inode in known.items() if not os.path.lexists(directory / name))
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield from _old_names(path, safe)


def _lose(path: Path, safe: _Safe, before: dict[int, Path], chance: random.Random | None) -> int:
    is_safe = path.name in safe.get(path.parent.stat().st_ino, {})
    is_directory = path.is_dir() and not path.is_symlink()
    if is_safe or (chance is not None and chance.random() < 0.5):
        return sum(_lose(one, safe, before, chance) for one in sorted(path.iterdir())) if is_directory else 0
    old = before.get(path.lstat().st_ino)
    if old is not None and old.parent.is_dir() and not old.exists():
        path.rename(old)  # as it was called before
    elif is_directory:
        shutil.rmtree(path)
    else:
        path.unlink()
    return 1
