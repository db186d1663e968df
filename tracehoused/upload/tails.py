"""The last records of a segment, without reading it through."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tracehouse.exceptions import TracehouseError
from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehoused.upload.batch import Record
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Epoch, measure, writers
from tracehoused.upload.state import State

__all__ = ["last_seq", "records_left", "records_written", "tail"]

_TAIL = 64 * 1024


def tail(session: str, uid: str, epoch: Epoch, n: int) -> tuple[list[Record], bool]:
    """The last records of a writer's segment ``n``, at least one if there is any, and whether that was all of it."""
    seed = framing.checksum_seed(uid, epoch.id)
    try:
        fd = open_checked(os.path.join(session, layout.segment_name(epoch.id, n)))
    except (TracehouseError, OSError):
        return [], False
    try:
        reach = _TAIL
        while True:
            start = max(0, epoch.sizes[n] - reach)
            found = _records(os.pread(fd, reach, start), seed)
            if found or start == 0:
                return found, start == 0
            reach *= 16
    except OSError:
        return [], False
    finally:
        os.close(fd)


def last_seq(session: str, uid: str, epoch: Epoch) -> int:
    """The greatest seq a writer reached in a session, from its last segment that has a whole record."""
    tails = (tail(session, uid, epoch, n)[0] for n in sorted(epoch.sizes, reverse=True))
    return max((record.seq for record in next(filter(None, tails), [])), default=0)


def records_written(session: str, uid: str, epochs: Iterable[Epoch]) -> int:
    """How many records the writers' segments hold; ``epochs`` are measured."""
    return sum(last_seq(session, uid, epoch) for epoch in epochs)


def records_left(session: str, uid: str, state: State) -> int:
    """How many records of a session are neither acknowledged nor given up."""
    epochs = writers(session)
    measure(session, epochs)
    settled = sum(len(state.done.get(epoch.id, ())) for epoch in epochs)
    lanes = sum(len(ranges) for (epoch, _), ranges in state.lanes.items() if epoch in {one.id for one in epochs})
    return max(0, records_written(session, uid, epochs) - settled - lanes)


def _records(raw: bytes, seed: int) -> list[Record]:
    parsed = [found for line in raw.split(b"\n") if (found := framing.parse(line, seed))]
    return [Record(seq, kind, data, 0, 0) for seq, kind, data in parsed]
