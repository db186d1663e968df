"""Which names are on the disk itself, for a power failure to keep: a directory's, as they were when it was last fsynced."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tracehouse.spool import durable

__all__ = ["Names"]

_Safe = dict[int, dict[str, int]]  # names and inodes, by the inode of their directory


class Names:
    """As the processes that share ``log`` note them. That a name is gone may be known to no disk, too; here it stays gone."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def install(self) -> None:
        """In a process that is to end with its part: which directories it fsyncs is noted from now on."""
        sync_dir, mkdir = durable.sync_dir, os.mkdir

        def synced(path: str) -> None:
            covered = {entry.name: entry.inode() for entry in os.scandir(path)}
            inode = os.stat(path).st_ino
            sync_dir(path)
            self._note(inode, covered)

        def made(path: str, *args: int) -> None:
            mkdir(path, *args)
            self._note(os.stat(path).st_ino, {})  # the number of one that is gone, perhaps

        durable.sync_dir, os.mkdir = synced, made  # type: ignore[assignment]

    def _note(self, inode: int, names: dict[str, int]) -> None:
        with open(self._log, "ab", buffering=0) as file:
            os.writev(file.fileno(), [json.dumps([inode, names]).encode() + b"\n"])

    def _safe(self) -> _Safe:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return dict(map(json.loads, lines))

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
