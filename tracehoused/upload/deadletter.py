"""Records that the destination refused, kept with their reason: ``upload/<destination>/deadletters.jsonl``.

Durable before the record is skipped. A record is named by its place and stays in its segment; what is here is why it was not sent. As with
the journal a copy lies in the agent's own directory, and what there is is the union of both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from tracehouse.spool import durable, layout
from tracehoused.upload.opening import read_file, stamp

__all__ = ["NAME", "DeadLetter", "DeadLetters"]

NAME = "deadletters.jsonl"
_MOST = 256 * 1024 * 1024


@dataclass(frozen=True)
class DeadLetter:
    """``parked``: worth another try later (daily) rather than refused for what it is. ``at``: UTC ISO 8601."""

    epoch: str
    n: int
    start: int
    end: int
    seq: int
    type: str
    lane: str
    status: int | None
    reason: str
    at: str
    parked: bool = False

    @property
    def key(self) -> tuple[str, int, str]:
        """What it is known by: one record may be refused in its own lane, and as the last word of its session."""
        return self.epoch, self.seq, self.lane


class DeadLetters:
    """The dead letters of one session at one destination: at ``path`` in the session, and at ``copy`` ("": nowhere). ``former``: files of
    destinations that were this one under another name."""

    def __init__(self, path: str, copy: str = "", former: Iterable[str] = ()) -> None:
        self._own = [path, copy] if copy else [path]
        self._former = list(former)
        self._found: dict[tuple[str, int, str], DeadLetter] = {}
        self._stamps: list[tuple[int, int, int] | None] = []

    @property
    def paths(self) -> list[str]:
        """Where they may lie."""
        return [*self._former, *self._own]

    def add(self, letter: DeadLetter) -> bool:
        """Durably; False when the record lay here already, and only its reason is told anew."""
        known = self._letters()
        is_new = letter.key not in known
        for path in self._own:
            _append(path, letter)
        known[letter.key] = letter
        self._stamps = self._stamped()
        return is_new

    def all(self) -> list[DeadLetter]:
        """Each record once, as it was last told."""
        return [letter for _, letter in sorted(self._letters().items())]

    def __len__(self) -> int:
        """How many there are; little work where that was asked before."""
        return len(self._letters())

    def keep_only(self, letters: list[DeadLetter]) -> None:
        """Replace what there is; the caller has seen to what becomes of the others."""
        for path in self._own:
            if letters:
                durable.private_dir(os.path.dirname(path))
                durable.replace(path, b"".join(map(_line, letters)), str(os.getpid()))
            else:
                _unlink(path)
        for path in self._former:
            _unlink(path)

    def _letters(self) -> dict[tuple[str, int, str], DeadLetter]:
        stamps = self._stamped()
        if stamps != self._stamps:
            self._found = {letter.key: letter for path in self.paths for letter in _read(path)}
            self._stamps = stamps
        return self._found

    def _stamped(self) -> list[tuple[int, int, int] | None]:
        return [stamp(path) for path in self.paths]


def _append(path: str, letter: DeadLetter) -> None:
    durable.private_dir(os.path.dirname(path))
    fresh = not os.path.exists(path)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, durable.FILE_MODE)
    try:
        # a torn line before it must not swallow it
        durable.write_all(fd, (b"" if fresh else b"\n") + _line(letter))
        durable.sync_data(fd)
    finally:
        os.close(fd)
    if fresh:
        durable.sync_dir(os.path.dirname(path))


def _unlink(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)
        durable.sync_dir(os.path.dirname(path))


def _read(path: str) -> Iterator[DeadLetter]:
    try:
        raw = read_file(path, _MOST)
    except FileNotFoundError:
        return
    for line in raw.splitlines():
        try:
            letter = DeadLetter(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            continue  # empty, or torn by a power failure: the record was not skipped on its account
        if _makes_sense(letter):
            yield letter


def _makes_sense(letter: DeadLetter) -> bool:
    texts = (letter.epoch, letter.type, letter.lane, letter.reason, letter.at)
    numbers = (letter.n, letter.start, letter.end, letter.seq)
    if not all(isinstance(text, str) for text in texts) or not all(type(n) is int and n >= 0 for n in numbers):
        return False
    # else the place of its record could be anywhere, and its own words no part of a request
    place = letter.epoch, letter.n
    return layout.parse_segment_name(layout.segment_name(*place)) == place and (letter.type + letter.at).isascii()


def _line(letter: DeadLetter) -> bytes:
    return json.dumps(asdict(letter), separators=(",", ":")).encode() + b"\n"
