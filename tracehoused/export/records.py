"""All valid records of a session in their order, however large it is, and what of it could not be read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from tracehouse.exceptions import SpoolError
from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehouse.spool.manifest import Manifest
from tracehoused.upload.intervals import Intervals
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Epoch, Run, Scan, measure, read_manifest, scan, scan_runs, writers

__all__ = ["Entry", "Source", "last_records", "open_source", "records_of_traces"]

_OF_TRACES = ("trace", "trace_patch", "span")


class Entry(NamedTuple):
    """One record: ``epoch`` and ``seq`` name it, ``attempt`` is its writer's, ``data`` the JSON text of an object."""

    epoch: str
    attempt: int
    seq: int
    type: str
    data: bytes

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.data)
        return found


class _Piece(NamedTuple):
    """Records first..last of a writer, which lie side by side in bytes start..end of its segment ``n``."""

    first: int
    last: int
    n: int
    start: int
    end: int


@dataclass
class Source:
    """A session to be exported. After ``entries`` has run through: ``damaged_lines``, and records ``missing`` from the writers' counts."""

    path: str
    manifest: Manifest
    damaged_lines: int = 0
    missing: int = 0

    def entries(self) -> Iterator[Entry]:
        """Each record once, the first valid line of it, by (attempt, claim, epoch, seq). What is written meanwhile is left out."""
        self.damaged_lines = self.missing = 0
        epochs = writers(self.path)
        measure(self.path, epochs)
        for epoch in epochs:
            for piece in self._pieces(epoch):
                yield from self._read(epoch, piece)

    def _pieces(self, epoch: Epoch) -> list[_Piece]:
        """Where a writer's records are, by seq: a record that was written again in a later segment may lie behind its successors."""
        seen, found = Intervals(), list[_Piece]()
        for n, size in epoch.sizes.items():
            result = Scan(0)
            try:
                with self._opened(epoch, n) as fd:
                    for run in scan_runs(fd, self._seed(epoch), 0, size, result):
                        _place(run, n, seen, found)
            except FileNotFoundError:
                continue  # an agent's retention took it meanwhile
            except (SpoolError, OSError):
                self.damaged_lines += 1
            self.damaged_lines += result.damaged_lines
        self.missing += seen.last - len(seen)
        return sorted(found)

    def _read(self, epoch: Epoch, piece: _Piece) -> Iterator[Entry]:
        try:
            with self._opened(epoch, piece.n) as fd:
                for record in scan(fd, self._seed(epoch), piece.start, piece.end, Scan(0)):
                    if _is_object(record.data):
                        yield Entry(epoch.id, epoch.attempt, record.seq, record.type.decode(), record.data)
                    else:
                        self.damaged_lines += 1
        except (SpoolError, OSError):
            self.missing += 1

    @contextmanager
    def _opened(self, epoch: Epoch, n: int) -> Iterator[int]:
        fd = open_checked(os.path.join(self.path, layout.segment_name(epoch.id, n)))
        try:
            yield fd
        finally:
            os.close(fd)

    def _seed(self, epoch: Epoch) -> int:
        return framing.checksum_seed(self.manifest.uid, epoch.id)


def open_source(path: str) -> Source:
    """A session by its directory. SpoolError when it cannot be read at all."""
    return Source(path, read_manifest(path))


def last_records(source: Source) -> dict[int, int]:
    """The number of each trace's last record, by its id's hash: of a million rollouts the ids themselves would be too much.

    Where two ids share a hash, one of the two traces is held to the end.
    """
    return {hash(name): at for at, _, name in records_of_traces(source)}


def records_of_traces(source: Source) -> Iterator[tuple[int, Entry, str]]:
    """What belongs to a chat trace, or to a rollout of a run: its number, the record, the trace's session_id."""
    for at, entry in enumerate(source.entries()):
        if entry.type in _OF_TRACES:
            yield at, entry, str(entry.fields.get("session_id") or source.manifest.id)


def _place(run: Run, n: int, seen: Intervals, found: list[_Piece]) -> None:
    if not seen.meets(run.first, run.last):
        _append(found, _Piece(run.first, run.last, n, run.start, run.ends[-1]))
        seen.add(run.first, run.last)
        return
    for record in run.records():
        if record.seq not in seen:
            _append(found, _Piece(record.seq, record.seq, n, record.start, record.end))
            seen.add(record.seq, record.seq)


def _append(found: list[_Piece], piece: _Piece) -> None:
    """Join what goes on where the last piece ended: a segment without damage is one piece."""
    before = found[-1] if found else None
    if before and (before.n, before.end, before.last + 1) == (piece.n, piece.start, piece.first):
        found[-1] = before._replace(last=piece.last, end=piece.end)
    else:
        found.append(piece)


def _is_object(data: bytes) -> bool:
    """A checksum vouches for the line, not for what its writer put there."""
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False
