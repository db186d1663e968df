"""A disk as a power failure may leave it, by the promises of POSIX alone: data is safe once its file was fsynced, a name once its
directory was; of all else any part may be there. Built from the calls of a process, up to any of them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import count
from math import gcd
from pathlib import Path

from tortures.calls import Call

# what becomes of what was not fsynced
NOTHING = "nothing survives"
NAMES = "all names survive, without their data"
ZEROS = "names and sizes survive, the data is NULs"
SOME = "some of it survives"
VARIANTS = (NOTHING, NAMES, ZEROS, SOME)


def place(number: int, places: int) -> tuple[int, str]:
    """The place, of so many, and the variant of a point: each of both once, before any comes again, and the first few far apart."""
    turn, at = divmod(number % (places * len(VARIANTS)), places)
    stride = next(n for n in count(max(1, places * 5 // 8)) if gcd(n, places) == 1)
    return at * stride % places, VARIANTS[(at + turn) % len(VARIANTS)]


class _File:
    """``safe``: bytes that were fsynced; none of them is ever written again."""

    def __init__(self, data: bytes = b"", safe: int = 0) -> None:
        self.data = bytearray(data)
        self.safe = safe

    def write(self, data: bytes, at: int | None = None) -> None:
        at = len(self.data) if at is None else at
        assert at >= self.safe
        self.data[at : at + len(data)] = data

    def cut(self, size: int) -> None:
        del self.data[size:]
        self.safe = min(self.safe, size)

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
    """What calls make of a directory ``root``, which is empty or holds, safely, what is in ``before``."""

    def __init__(self, root: str, before: Path | None = None) -> None:
        self._root = root
        self._top = _Directory() if before is None else _held(before)

    def apply_all(self, calls: list[Call]) -> Disk:
        """Calls on files, in the order in which they ended: an fsync covers what was there when it began."""
        covered: dict[int, tuple[int, int]] = {}
        for at in _moments(calls):
            if at < 0:
                covered[-at] = self._measure(calls[-at - 1])
            else:
                self._apply(calls[at - 1], covered.get(at, (0, 0)))
        return self

    def _apply(self, call: Call, covered: tuple[int, int]) -> None:
        """``covered``: for an fsync, what ``_measure`` gave when it began."""
        names = [os.path.relpath(path, self._root) for path in call.paths]
        if call.name in ("mkdir", "mkdirat"):
            self._parent(names[0]).put(os.path.basename(names[0]), _Directory())
        elif call.creates:
            found = self._find(names[0])
            if call.empties and isinstance(found, _File) and found.data:
                raise NotImplementedError(f"O_TRUNC of what is in {names[0]}")
            if found is None:
                self._parent(names[0]).put(os.path.basename(names[0]), _File())
        elif call.name in ("write", "pwrite64"):
            self._file(names[0]).write(call.data, call.at if call.name == "pwrite64" else None)
        elif call.name == "ftruncate":
            self._file(names[0]).cut(call.at)
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

    def _measure(self, call: Call) -> tuple[int, int]:
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


def _held(source: Path) -> _Directory:
    found = _Directory()
    for path in source.iterdir():
        data = b"" if path.is_dir() else path.read_bytes()
        found.now[path.name] = _held(path) if path.is_dir() else _File(data, len(data))
    found.safe = dict(found.now)
    return found


def _moments(calls: list[Call]) -> Iterator[int]:
    """Numbers from 1 of the calls as they end; negative: an fsync begins."""
    began = [(call.began, -n) for n, call in enumerate(calls, 1) if call.name in ("fsync", "fdatasync")]
    ended = [(call.ended, n) for n, call in enumerate(calls, 1)]
    return iter([n for _, n in sorted(began + ended)])
