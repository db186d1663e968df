"""What was acknowledged of a session elsewhere: the same server for somebody else would have it twice, and so is not sent it unasked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from tracehouse.spool import layout
from tracehoused.text import argument, printable
from tracehoused.upload.checkpoint import Checkpoint
from tracehoused.upload.reports import Destination

__all__ = ["refusal", "word"]


def refusal(session: str, destination: Destination, checkpoint: Checkpoint) -> str | None:
    """Why a session is not sent of which this identity has nothing there: another one has. None when it is to be sent."""
    if checkpoint.state.done or "to" in checkpoint.state.facts:
        return None
    other = _acknowledged_as(session, destination.api_base, (destination.hash, *destination.former_hashes))
    if other is None:
        return None
    told = f"{destination.api_base} has acknowledged it for {printable(other)!r}, and would have it twice"
    return f"{told}; `tracehouse sync --again` sends it as {printable(destination.identity)!r} all the same"


def _acknowledged_as(session: str, api_base: str, own: Iterable[str]) -> str | None:
    """The identity other than one's ``own`` (hashes of destinations) for which a server has acknowledged records of a session."""
    known = _acknowledged(session, own)
    return next((identity for found, identity in known if found == api_base), None)


def word(session: str) -> str:
    """What is to be added to the news that there is no key for a session's own server: who else has some of it."""
    found = sorted(set(_acknowledged(session, ())))
    told = " and ".join(f"{printable(api_base)} as {printable(identity)!r}" for api_base, identity in found)
    if not found:
        return ""
    there = argument(found[0][0])
    return f"; it was sent to {told}: `tracehouse sync --api-base {there}` sends what is new"


def _acknowledged(session: str, own: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(api_base, identity) of those that have acknowledged records of a session."""
    upload = os.path.join(session, layout.UPLOAD)
    for name in sorted(os.listdir(upload)) if os.path.isdir(upload) else ():
        place = os.path.join(upload, name)
        if name in own or not os.path.isdir(place):
            continue
        state = Checkpoint(place, "").state
        to = state.facts.get("to")
        if isinstance(to, list) and len(to) == 2 and any(map(len, state.done.values())):
            yield str(to[0]), str(to[1])
