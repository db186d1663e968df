"""The record of a dead letter, which stays in its segment."""

from __future__ import annotations

import os
from dataclasses import replace

from tracehouse.spool import layout
from tracehoused.upload.batch import CLOSING, LANES, Bounds, Record
from tracehoused.upload.context import Context
from tracehoused.upload.deadletter import DeadLetter
from tracehoused.upload.rounds import read_records

__all__ = ["bounds_of", "placed", "read", "record_of"]


def record_of(context: Context, letter: DeadLetter) -> Record | None:
    """The record itself, from its segment; None when it is not there any more."""
    return read(context, placed(context, letter))


def placed(context: Context, letter: DeadLetter) -> DeadLetter:
    """With the number of the segment in which its record lies, where it is here: earlier versions wrote that of a later one."""
    if read(context, letter) is not None:
        return letter
    parsed = map(layout.parse_segment_name, os.listdir(context.session))
    earlier = {one.n for one in parsed if one is not None and one.epoch == letter.epoch and one.n < letter.n}
    others = (replace(letter, n=n) for n in sorted(earlier, reverse=True))
    return next((other for other in others if read(context, other) is not None), letter)


def read(context: Context, letter: DeadLetter) -> Record | None:
    found = read_records(context.session, context.uid, bounds_of(letter))
    return found[0] if found else None


def bounds_of(letter: DeadLetter) -> Bounds:
    lane = LANES.get(letter.type.encode(), letter.lane) if letter.lane == CLOSING else letter.lane
    return Bounds(lane, letter.epoch, letter.n, letter.start, letter.end, letter.seq, letter.seq)
