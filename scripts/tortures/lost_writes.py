"""A disk as a power failure may leave it, by the promises of POSIX alone: data is safe once its file was fsynced, a name once its
directory was; of all else any part may be there. Built from the calls of a job, up to any of them."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tortures.calls import Call

# what becomes of what was not fsynced
NOTHING = "nothing survives"
NAMES = "all names survive, without their data"
ZEROS = "names and sizes survive, the data is NULs"
SOME = "some of it survives"
VARIANTS = (NOTHING, NAMES, ZEROS, SOME)


class _File:
    def __init__(self) -> None:
        self.data = bytearray()
        self.safe = 0

    def after(self, variant: str, chance: random.Random) -> bytes:
        kept = bytes(self.data[: self.safe])
        rest = bytes(self.data[self.safe :])
        if variant == ZEROS:
            return kept + b"\0" * len(rest)
        if variant == SOME:
            part = rest[: chance.randint(0, len(rest))]
            return kept + (b"\0" * len(part) if chance.random() < 0.3 else part)
        return kept


class _Directory:
    """``now`` and ``safe``: names to files or directories; ``pending``: changes since, in order (None: the name goes)."""

    def __init__(self) -> None:
        self.now: dict[str, _File | _Directory] = {}
        self.safe: dict[str, _File | _Directory] = {}
        self.pending: list[tuple[str, _File | _Directory | None]] = []

    def put(self, name: str, node: _File | _Directory | None) -> None:
        _apply(self.now, name, node)
        self.pending.append((name, node))

    def sync(self, count: int) -> None:
        for name, node in self.pending[:count]:
            _apply(self.safe, name, node)
        del self.pending[:count]

    def after(self, variant: str, chance: random.Random) -> dict[str, _File | _Directory]:
        names = dict(self.safe)
        kept = {NOTHING: 0, SOME: chance.randint(0, len(self.pending))}.get(variant, len(self.pending))
        for name, node in self.pending[:kept]:
            _apply(names, name, node)
        return names


def _apply(names: dict[str, _File | _Directory], name: str, node: _File | _Directory | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


class Disk:
    """What ``calls`` make of an empty directory ``root``; apply them one by one."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._top = _Directory()

    def apply(self, call: Call, covered: tuple[int, int]) -> None:
        """``covered``: for an fsync, what ``measure`` gave when it began."""
        names = [os.path.relpath(path, self._root) for path in call.paths]
        if call.name in ("mkdir", "mkdirat"):
            self._parent(names[0]).put(os.path.basename(names[0]), _Directory())
        elif call.creates:
            if self._find(names[0]) is None:
                self._parent(names[0]).put(os.path.basename(names[0]), _File())
        elif call.name == "write":
            self._file(names[0]).data += call.data
        elif call.name in ("link", "linkat", "rename", "renameat", "renameat2"):
            self._parent(names[1]).put(os.path.basename(names[1]), self._find(names[0]))
            if call.name.startswith("rename"):
                self._parent(names[0]).put(os.path.basename(names[0]), None)
        elif call.name in ("unlink", "unlinkat", "rmdir"):
            self._parent(names[0]).put(os.path.basename(names[0]), None)
        elif call.name in ("fsync", "fdatasync"):
            self._sync(names[0], covered)
        else:
            raise NotImplementedError(call.name)

    def measure(self, call: Call) -> tuple[int, int]:
        """(bytes, names) that an fsync which begins now is to cover."""
        node = self._find(os.path.relpath(call.paths[0], self._root))
        if isinstance(node, _File):
            return len(node.data), 0
        return 0, len(node.pending) if node is not None else 0

    def leave(self, target: Path, variant: str, chance: random.Random) -> None:
        """Write what is left after a failure now."""
        self._leave(self._top, target, variant, chance)

    def _leave(self, directory: _Directory, target: Path, variant: str, chance: random.Random) -> None:
        target.mkdir(mode=0o700)
        for name, node in directory.after(variant, chance).items():
            if isinstance(node, _Directory):
                self._leave(node, target / name, variant, chance)
            else:
                (target / name).write_bytes(node.after(variant, chance))

    def _sync(self, name: str, covered: tuple[int, int]) -> None:
        node = self._top if name == "." else self._find(name)
        if isinstance(node, _File):
            node.safe = max(node.safe, covered[0])
        elif node is not None:
            node.sync(covered[1])

    def _file(self, name: str) -> _File:
        node = self._find(name)
        assert isinstance(node, _File), name
        return node

    def _parent(self, name: str) -> _Directory:
        node = self._find(os.path.dirname(name))
        assert isinstance(node, _Directory), name
        return node

    def _find(self, name: str) -> _File | _Directory | None:
        node: _File | _Directory | None = self._top
        for part in [part for part in name.split("/") if part not in ("", ".")]:
            node = node.now.get(part) if isinstance(node, _Directory) else None
        return node
