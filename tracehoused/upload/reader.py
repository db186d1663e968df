"""From bytes of a spool that may be damaged or hostile to records. Reads only what is a regular file of the session's owner."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, count
from operator import add
from typing import Any

from tracehouse.exceptions import SpoolError, SpoolFormatError
from tracehouse.spool import FORMAT, layout
from tracehouse.spool import record as framing
from tracehouse.spool.manifest import MAX_MANIFEST, FormatError, Manifest, decode
from tracehoused.upload.batch import Record
from tracehoused.upload.opening import check_dir, open_checked, read_file

__all__ = [
    "Epoch",
    "Scan",
    "is_unbegun",
    "line_start",
    "measure",
    "read_manifest",
    "scan",
    "scan_runs",
    "session_dirs",
    "writers",
]

BLOCK = 128 * 1024


@dataclass(frozen=True)
class Epoch:
    """One writer's segments in a session. ``sizes``: bytes by segment number, ascending; ``header``: of its first readable segment."""

    id: str
    sizes: dict[int, int]
    header: dict[str, Any]

    @property
    def attempt(self) -> int:
        return _whole(self.header.get("attempt"))

    @property
    def order(self) -> tuple[int, int, str]:
        """By which a session's records are ordered, before their seq."""
        return self.attempt, _whole(self.header.get("claim")), self.id


@dataclass
class Scan:
    """One reading of a segment: ``end`` is behind the last whole line, ``tail`` the bytes behind that. Damage before the offset
    ``count_from`` is not counted."""

    end: int
    damaged_lines: int = 0
    damaged_bytes: int = 0
    tail: int = 0
    count_from: int = 0

    def damage(self, start: int, end: int) -> None:
        """These bytes are no record."""
        if start >= self.count_from:
            self.damaged_lines += 1
            self.damaged_bytes += end - start
        self.end = end


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 1


def _left_aside(session: str) -> int:
    """Names that the manifest kept from being published, its job having been killed just then."""
    try:
        found = os.lstat(os.path.join(session, layout.MANIFEST))
    except FileNotFoundError:
        return 0
    if found.st_nlink == 1:
        return 0
    names = [name for name in os.listdir(session) if name.startswith(layout.MANIFEST + ".") and name.endswith(".tmp")]
    return sum(os.path.samestat(os.lstat(os.path.join(session, name)), found) for name in names)


def session_dirs(spool: str) -> list[str]:
    """Paths of the sessions in a spool; the spool may be a session's directory itself."""
    if layout.is_session_dir(os.path.basename(os.path.normpath(spool))):
        return [os.path.normpath(spool)]
    with os.scandir(spool) as entries:
        return sorted(
            entry.path for entry in entries if layout.is_session_dir(entry.name) and entry.is_dir(follow_symlinks=False)
        )


def is_unbegun(session: str) -> bool:
    """A directory in which no record is: its job was killed, or failed, before it wrote one."""
    known = (layout.MANIFEST, layout.MEDIA, layout.UPLOAD)
    return all(name in known or name.startswith(layout.MANIFEST + ".") for name in os.listdir(session))


def read_manifest(session: str) -> Manifest:
    """The manifest, or the copy of it in a segment's header. SpoolError (FormatError for a newer format) when there is none, or where one
    of the session's directories leads elsewhere."""
    for name in (layout.MEDIA, layout.UPLOAD):
        check_dir(os.path.join(session, name))
    path = os.path.join(session, layout.MANIFEST)
    try:
        return decode(read_file(path, MAX_MANIFEST, links=1 + _left_aside(session)), path)
    except (ValueError, FileNotFoundError) as error:
        if isinstance(error, FormatError) and isinstance(error.found, int):
            raise SpoolFormatError(_whole(error.found), FORMAT, path) from error
        for name in sorted(os.listdir(session)):
            header = read_header(os.path.join(session, name)) if layout.parse_segment_name(name) else None
            if header is not None:
                return Manifest(header["session"])
        raise SpoolError(f"no manifest ({error}), and no segment that tells what it said", path=path) from error


def read_header(path: str) -> dict[str, Any] | None:
    """The checked header of a segment; None when it is damaged or foreign, or cannot be read."""
    try:
        fd = open_checked(path)
    except (SpoolError, FileNotFoundError):
        return None
    try:
        line = os.pread(fd, 2 * MAX_MANIFEST, 0).partition(b"\n")[0]
    except OSError:
        return None
    finally:
        os.close(fd)
    try:
        parsed = framing.peek(line)
        fields = json.loads(parsed[2]) if parsed and parsed[1] == b"segment" else None
        if not isinstance(fields, dict):
            return None
        uid, epoch = Manifest(fields["session"]).uid, fields["epoch"]
        return fields if framing.parse(line, framing.checksum_seed(uid, epoch)) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def writers(session: str) -> list[Epoch]:
    """The writers of a session in the order of their records, not measured yet."""
    numbers: dict[str, list[int]] = {}
    for name in os.listdir(session):
        parsed = layout.parse_segment_name(name)
        if parsed is not None:
            numbers.setdefault(parsed.epoch, []).append(parsed.n)
    found = [
        Epoch(epoch, dict.fromkeys(sorted(ns), 0), _first_header(session, epoch, sorted(ns)))
        for epoch, ns in numbers.items()
    ]
    return sorted(found, key=lambda epoch: epoch.order)


def measure(session: str, epochs: list[Epoch]) -> None:
    """Take the sizes, latest writer first: what a later one wrote about an earlier one's records then finds those within the
    sizes too. Ask which writers live before: what a dead one wrote is then all within its size."""
    for epoch in reversed(epochs):
        for n in epoch.sizes:
            epoch.sizes[n] = _size(os.path.join(session, layout.segment_name(epoch.id, n)))


def line_start(fd: int, at: int) -> int:
    """Where the line begins that byte ``at`` is in: one that had no end when it was given up may have got one since, in a copy. ``at``,
    where it would be longer than any record is."""
    if os.pread(fd, 1, max(0, at - 1)) == b"\n":
        return at
    end, least = at, max(0, at - framing.MAX_RECORD)
    while end > least:
        start = max(least, end - BLOCK)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return at if least else 0


def _first_header(session: str, epoch: str, numbers: list[int]) -> dict[str, Any]:
    for n in numbers:
        header = read_header(os.path.join(session, layout.segment_name(epoch, n)))
        if header is not None and header.get("epoch") == epoch:
            return header
    return {}


def _size(path: str) -> int:
    """As it is at its file server: what is known here may be from before other names were listed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return 0
    except OSError:
        return os.lstat(path).st_size  # whoever reads it tells why that cannot be
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


class Run:
    """Valid lines that follow one another with one type and consecutive seqs: ``datas`` their data, ``ends`` their end offsets."""

    __slots__ = ("datas", "ends", "first", "start", "type")

    def __init__(self, kind: bytes, first: int, start: int, datas: list[bytes], ends: list[int]) -> None:
        self.type = kind
        self.first = first
        self.start = start
        self.datas = datas
        self.ends = ends

    @property
    def last(self) -> int:
        return self.first + len(self.datas) - 1

    def part(self, begin: int, end: int) -> Run:
        """The records begin..end-1 of it."""
        start = self.ends[begin - 1] if begin else self.start
        return Run(self.type, self.first + begin, start, self.datas[begin:end], self.ends[begin:end])

    def records(self) -> Iterator[Record]:
        start = self.start
        for seq, data, end in zip(count(self.first), self.datas, self.ends):
            yield Record(seq, self.type, data, start, end)
            start = end


def scan(fd: int, seed: int, start: int, stop: int, result: Scan) -> Iterator[Record]:
    """Valid records between two offsets, in file order; ``result`` is kept up as they are taken."""
    for run in scan_runs(fd, seed, start, stop, result):
        yield from run.records()


def scan_runs(fd: int, seed: int, start: int, stop: int, result: Scan) -> Iterator[Run]:
    """Like ``scan``, by runs: most of a segment is a few of them, which then cost little more than their checksums."""
    at = start
    rest = b""
    while at < stop:
        block = os.pread(fd, min(BLOCK, stop - at), at)
        if not block:
            break
        offset = at - len(rest)
        at += len(block)
        lines = (rest + block).split(b"\n") if rest else block.split(b"\n")
        rest = lines.pop()
        yield from _runs(lines, seed, offset, result)
        if len(rest) > framing.MAX_RECORD:
            # no record is so long: damage, whatever comes; go on at the next newline
            result.damage(at - len(rest), at)
            rest = b""
    result.tail = len(rest)


def _runs(lines: list[bytes], seed: int, offset: int, result: Scan) -> Iterator[Run]:
    at = 0
    while at < len(lines):
        parsed = framing.parse(lines[at], seed)
        if parsed is None:
            result.damage(offset, offset + len(lines[at]) + 1)
            offset = result.end
            at += 1
            continue
        seq, kind, data = parsed
        skip = len(lines[at]) - len(data) - 1
        to = at + framing.alike(lines, at + 1, seq + 1, kind, skip, seed) + 1
        # with each line's newline
        ends = list(map(add, accumulate(map(len, lines[at:to])), count(offset + 1)))
        result.end = ends[-1]
        yield Run(kind, seq, offset, [line[skip:-1] for line in lines[at:to]], ends)
        offset = ends[-1]
        at = to
