"""A disk as a power failure may leave it, by the promises of POSIX alone: data is safe once its file was fsynced, a name once its
directory was; of all else any part may be there, in any order. Built from the calls of a process, up to any of them.

A rename within one directory is there whole or not at all; one between two directories may leave both names, and never none.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import gcd
from pathlib import Path
from typing import NamedTuple, TypeVar, Union

from tortures.calls import Call

# what becomes of what was not fsynced
NOTHING = "nothing survives"
NAMES = "all names survive, without their data"
ZEROS = "names and sizes survive, the data is NULs"
SOME = "some of it survives, up to any change"
REORDERED = "any of it survives, later changes without earlier ones"
VARIANTS = (NOTHING, NAMES, ZEROS, SOME, REORDERED)
_PAGE = 4096
_Change = TypeVar("_Change")


def place(number: int, places: int) -> tuple[int, str]:
    """The place, of so many, and the variant of a point: each of both once, before any comes again, and the first few far apart."""
    turn, at = divmod(number % (places * len(VARIANTS)), places)
    stride = next(n for n in count(max(1, places * 5 // 8)) if gcd(n, places) == 1)
    return at * stride % places, VARIANTS[(at + turn) % len(VARIANTS)]


class _Write(NamedTuple):
    at: int
    data: bytes

    def to(self, held: bytearray) -> None:
        held.extend(bytes(max(0, self.at - len(held))))
        held[self.at : self.at + len(self.data)] = self.data

    def pages(self) -> list[_Write]:
        """What of it lies in each page."""
        ends = range(self.at - self.at % _PAGE + _PAGE, self.at + len(self.data) + _PAGE, _PAGE)
        starts = [self.at, *ends[:-1]]
        return [_Write(start, self.data[start - self.at : end - self.at]) for start, end in zip(starts, ends)]


class _Cut(NamedTuple):
    size: int

    def to(self, held: bytearray) -> None:
        del held[self.size :]
        held.extend(bytes(self.size - len(held)))

    def pages(self) -> list[_Cut]:
        return [self]


class _File:
    """``changes`` since it held ``first``, of which so many are ``safe``; ``sizes`` before and after each."""

    def __init__(self, first: bytes = b"") -> None:
        self._first = first
        self.changes: list[_Write | _Cut] = []
        self.safe = 0
        self._sizes = [len(first)]

    @property
    def size(self) -> int:
        return self._sizes[-1]

    def write(self, data: bytes, at: int | None = None) -> None:
        at = self.size if at is None else at
        self.changes.append(_Write(at, data))
        self._sizes.append(max(self.size, at + len(data)))

    def cut(self, size: int) -> None:
        self.changes.append(_Cut(size))
        self._sizes.append(size)

    def after(self, variant: str, chance: random.Random) -> bytes:
        held = bytearray(self._first)
        for change in self.changes[: self.safe]:
            change.to(held)
        rest = self.changes[self.safe :]
        if variant == ZEROS:
            _Cut(self.size).to(held)
        elif variant == SOME:
            self._keep_beginning(held, rest, chance)
        elif variant == REORDERED:
            self._keep_any(held, rest, chance)
        return bytes(held)

    def _keep_beginning(self, held: bytearray, rest: list[_Write | _Cut], chance: random.Random) -> None:
        safe, kept = len(held), chance.randint(0, len(rest))
        for change in rest[:kept]:
            change.to(held)
        if kept < len(rest) and isinstance(torn := rest[kept], _Write):
            torn._replace(data=torn.data[: chance.randrange(len(torn.data) + 1)]).to(held)
        if chance.random() < 0.3:
            held[safe:] = bytes(max(0, len(held) - safe))

    def _keep_any(self, held: bytearray, rest: list[_Write | _Cut], chance: random.Random) -> None:
        """Whole writes or pages, and any of the sizes that it had: longer than what is kept, it has holes; shorter, that is not seen."""
        if chance.random() < 0.5:
            rest = [page for change in rest for page in change.pages()]
        for change in _any_of(rest, chance):
            change.to(held)
        _Cut(chance.choice(self._sizes[self.safe :])).to(held)


@dataclass(frozen=True, eq=False)
class _Naming:
    """What ``names`` stand for from then on (None: nothing). It never survives alone where it ``needs`` another change to."""

    names: dict[str, _Node | None]
    needs: _Naming | None = None

    def to(self, held: dict[str, _Node]) -> None:
        for name, node in self.names.items():
            if node is None:
                held.pop(name, None)
            else:
                held[name] = node


class _Directory:
    """``now``: names to files or directories; of the ``changes`` to the ``first`` ones so many are ``safe``."""

    def __init__(self, first: dict[str, _Node] | None = None) -> None:
        self._first = first or {}
        self.now = dict(self._first)
        self.changes: list[_Naming] = []
        self.safe = 0

    def change(self, change: _Naming) -> _Naming:
        change.to(self.now)
        self.changes.append(change)
        return change

    def kept(self, variant: str, chance: random.Random) -> list[_Naming]:
        """Of its changes, those that survive."""
        safe, rest = self.changes[: self.safe], self.changes[self.safe :]
        if variant == REORDERED:
            return [*safe, *_any_of(rest, chance)]
        return [*safe, *rest[: {NOTHING: 0, SOME: chance.randint(0, len(rest))}.get(variant, len(rest))]]

    def after(self, kept: set[_Naming]) -> dict[str, _Node]:
        names = dict(self._first)
        for change in self.changes:
            if change in kept:
                change.to(names)
        return names


_Node = Union[_File, _Directory]


def _any_of(changes: list[_Change], chance: random.Random) -> list[_Change]:
    """In their order; sometimes few of them, sometimes most."""
    share = chance.random()
    return [change for change in changes if chance.random() < share]


class Disk:
    """What calls make of a directory ``root``, which is empty or holds, safely, what is in ``before``."""

    def __init__(self, root: str, before: Path | None = None) -> None:
        self._root = root
        self._directories: list[_Directory] = []
        self._top = self._directory() if before is None else self._held(before)

    def apply_all(self, calls: list[Call]) -> Disk:
        """Calls on files, in the order in which they ended: an fsync covers what was there when it began."""
        covered: dict[int, int] = {}
        for at in _moments(calls):
            if at < 0:
                node = self._find(self._names(calls[-at - 1])[0])
                covered[-at] = 0 if node is None else len(node.changes)
            else:
                self._apply(calls[at - 1], covered.get(at, 0))
        return self

    def _apply(self, call: Call, covered: int) -> None:
        """``covered``: for an fsync, how many changes there had been when it began."""
        names = self._names(call)
        if call.name in ("mkdir", "mkdirat"):
            self._name(names[0], self._directory())
        elif call.creates:
            found = self._find(names[0])
            if call.empties and isinstance(found, _File) and found.size:
                raise NotImplementedError(f"O_TRUNC of what is in {names[0]}")
            if found is None:
                self._name(names[0], _File())
        elif call.name in ("write", "pwrite64"):
            self._file(names[0]).write(call.data, call.at if call.name == "pwrite64" else None)
        elif call.name == "ftruncate":
            self._file(names[0]).cut(call.at)
        elif call.name in ("link", "linkat"):
            self._name(names[1], self._find(names[0]))
        elif call.name in ("rename", "renameat", "renameat2"):
            self._rename(*names)
        elif call.name in ("unlink", "unlinkat", "rmdir"):
            self._name(names[0], None)
        elif call.name in ("fsync", "fdatasync"):
            node = self._find(names[0])
            if node is not None:
                node.safe = max(node.safe, covered)
        else:
            raise NotImplementedError(call.name)

    def leave(self, target: Path, variant: str, chance: random.Random) -> None:
        """Write what is left after a failure now."""
        kept = {change for directory in self._directories for change in directory.kept(variant, chance)}
        kept |= {change.needs for change in kept if change.needs is not None}
        written: dict[_File, Path] = {}

        def leave(directory: _Directory, target: Path) -> None:
            target.mkdir(mode=0o700)
            for name, node in directory.after(kept).items():
                if isinstance(node, _Directory):
                    leave(node, target / name)
                elif node in written:
                    os.link(written[node], target / name)
                else:
                    written[node] = target / name
                    written[node].write_bytes(node.after(variant, chance))

        leave(self._top, target)

    def _names(self, call: Call) -> list[str]:
        return [os.path.relpath(path, self._root) for path in call.paths]

    def _name(self, name: str, node: _Node | None) -> None:
        self._parent(name).change(_Naming({os.path.basename(name): node}))

    def _rename(self, old: str, new: str) -> None:
        node, source, target = self._find(old), self._parent(old), self._parent(new)
        goes, comes = {os.path.basename(old): None}, {os.path.basename(new): node}
        if source is target:
            source.change(_Naming({**goes, **comes}))
        else:
            source.change(_Naming({**goes}, needs=target.change(_Naming(comes))))

    def _held(self, source: Path) -> _Directory:
        return self._directory(
            {path.name: self._held(path) if path.is_dir() else _File(path.read_bytes()) for path in source.iterdir()}
        )

    def _directory(self, first: dict[str, _Node] | None = None) -> _Directory:
        self._directories.append(_Directory(first))
        return self._directories[-1]

    def _file(self, name: str) -> _File:
        node = self._find(name)
        assert isinstance(node, _File), name
        return node

    def _parent(self, name: str) -> _Directory:
        node = self._find(os.path.dirname(name))
        assert isinstance(node, _Directory), name
        return node

    def _find(self, name: str) -> _Node | None:
        node: _Node | None = self._top
        for part in [part for part in name.split("/") if part not in ("", ".")]:
            node = node.now.get(part) if isinstance(node, _Directory) else None
        return node


def _moments(calls: list[Call]) -> Iterator[int]:
    """Numbers from 1 of the calls as they end; negative: an fsync begins."""
    began = [(call.began, -n) for n, call in enumerate(calls, 1) if call.name in ("fsync", "fdatasync")]
    ended = [(call.ended, n) for n, call in enumerate(calls, 1)]
    return iter([n for _, n in sorted(began + ended)])
