"""Records that the destination refused, kept with their reason: ``upload/<destination>/deadletters.jsonl``.

Durable before the record is skipped. A record is named by its place and stays in its segment; what is here is why it was not sent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from tracehouse.spool import durable
from tracehoused.upload.reader import read_file

__all__ = ["DeadLetter", "DeadLetters"]

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


class DeadLetters:
    """The dead letters of one session at one destination."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, NAME)
        self._known: set[tuple[str, int]] | None = None

    def add(self, letter: DeadLetter) -> bool:
        """Durably; False when the record lay here already, and only its reason is told anew."""
        if self._known is None:
            self._known = {(known.epoch, known.seq) for known in self._read()}
        is_new = (letter.epoch, letter.seq) not in self._known
        self._append(letter)
        self._known.add((letter.epoch, letter.seq))
        return is_new

    def _append(self, letter: DeadLetter) -> None:
        durable.private_dir(os.path.dirname(self._path))
        fresh = not os.path.exists(self._path)
        fd = os.open(
            self._path,
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
            durable.FILE_MODE,
        )
        try:
            # a torn line before it must not swallow it
            durable.write_all(fd, (b"" if fresh else b"\n") + _line(letter))
            durable.sync_data(fd)
        finally:
            os.close(fd)
        if fresh:
            durable.sync_dir(os.path.dirname(self._path))

    def all(self) -> list[DeadLetter]:
        """Each record once, as it was last told."""
        letters = {(letter.epoch, letter.seq): letter for letter in self._read()}
        return [letters[key] for key in sorted(letters)]

    def keep_only(self, letters: list[DeadLetter]) -> None:
        """Replace the file's content; the caller has seen to what becomes of the others."""
        if letters:
            durable.replace(self._path, b"".join(map(_line, letters)), str(os.getpid()))
        elif os.path.exists(self._path):
            os.unlink(self._path)
            durable.sync_dir(os.path.dirname(self._path))

    def _read(self) -> Iterator[DeadLetter]:
        try:
            raw = read_file(self._path, _MOST)
        except FileNotFoundError:
            return
        for line in raw.splitlines():
            try:
                yield DeadLetter(**json.loads(line))
            except (ValueError, TypeError, RecursionError):
                continue  # empty, or torn by a power failure: the record was not skipped on its account


def _line(letter: DeadLetter) -> bytes:
    return json.dumps(asdict(letter), separators=(",", ":")).encode() + b"\n"
