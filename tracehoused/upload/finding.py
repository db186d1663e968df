"""Records of a session that are found by reading its segments."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator

from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehoused.upload.batch import Record
from tracehoused.upload.context import Context
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Scan, scan, writers
from tracehoused.upload.rounds import is_object

__all__ = ["creations_near", "find_record", "of_types", "session_id_of"]


def find_record(context: Context, kind: bytes, session_id: str) -> bytes | None:
    """The data of a session's own first creation record, wherever it lies in the segments: the first attempt's tells when it began."""
    id_name = "client_run_id" if kind == b"run" else "session_id"
    for epoch in writers(context.session):
        for n in epoch.sizes:
            for record in of_types(context, (kind,), epoch.id, n):
                if json.loads(record.data).get(id_name) == session_id:
                    return record.data
    return None


def creations_near(context: Context, wanted: set[str], near: tuple[str, int]) -> Iterator[tuple[str, bytes]]:
    """Of each of these rollouts that has one, a creation record, by one reading of the segments, backwards from one of them, as far as
    needed. ``wanted`` shrinks to those that have none."""
    epoch, n = near
    names = sorted(_segments(context), key=lambda one: (one[0] != epoch or one[1] > n, -one[1])) if wanted else []
    for name in names:
        for record in of_types(context, (b"trace",), *name):
            session_id = session_id_of(record)
            if session_id in wanted:
                wanted.discard(session_id)
                yield session_id, record.data
                if not wanted:
                    return


def session_id_of(record: Record) -> str:
    return str(json.loads(record.data).get("session_id"))


def of_types(context: Context, types: Collection[bytes], epoch: str, n: int) -> Iterator[Record]:
    """The records of these types in one segment, each a JSON object."""
    fd = open_checked(os.path.join(context.session, layout.segment_name(epoch, n)))
    try:
        for record in scan(fd, framing.checksum_seed(context.uid, epoch), 0, os.fstat(fd).st_size, Scan(0)):
            if record.type in types and is_object(record.data):
                yield record
    finally:
        os.close(fd)


def _segments(context: Context) -> list[tuple[str, int]]:
    parsed = map(layout.parse_segment_name, os.listdir(context.session))
    return [(segment.epoch, segment.n) for segment in parsed if segment is not None]
