"""The dead letters of a session: looked at, sent again, written out, given up."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable

from tracehouse.exceptions import TracehouseError
from tracehouse.spool.manifest import Manifest
from tracehoused.identities.identity import NoCredential
from tracehoused.unreadable import TROUBLES, why
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.deadletter import DeadLetter
from tracehoused.upload.engine import Destination, Engine
from tracehoused.upload.later import Later
from tracehoused.upload.reader import read_manifest
from tracehoused.upload.redelivery import redeliver
from tracehoused.upload.refused import record_of

__all__ = ["Selection", "drop", "is_due", "letters_of", "records_of", "retry"]

Selection = Callable[[DeadLetter], bool]
# each time all that are left are written anew
_MOST_NOTED = 200
_DAY = 86400.0


@dataclass(frozen=True)
class Retried:
    """How many were accepted, how many are left, and what stopped it, or one of them, if something did. ``halted``: it stops all there."""

    accepted: int
    left: int
    trouble: str = ""
    halted: bool = False


def is_due(letter: DeadLetter, now: float) -> bool:
    """What a server failed at, a day ago or more; ``now``: seconds since the epoch. A clock that has gone back since makes it due, too."""
    try:
        then = datetime.strptime(letter.at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return letter.parked
    return letter.parked and not 0 <= now - then < _DAY


def letters_of(engine: Engine, session: str) -> list[DeadLetter]:
    """Those of its destination, without asking anybody; none where the session cannot be read or has no key."""
    try:
        manifest = read_manifest(session)
        credential = engine.known_credential(manifest)
        if isinstance(credential, NoCredential):
            return []
        return engine.checkpoint(session, manifest, Destination.of(credential)).dead.all()
    except (TracehouseError, OSError):
        return []


def retry(engine: Engine, session: str, chosen: Selection) -> Retried:
    """Send the chosen ones again, each for itself. TracehouseError, OSError when that cannot be begun, or noted."""
    with engine.at(session) as (manifest, context):
        left = {letter.key: letter for letter in context.dead.all()}
        before = len(left)
        try:
            trouble, halted = _send(context, manifest, filter(chosen, list(left.values())), left)
        finally:
            if context.still_ours():
                _keep(context, list(left.values()))
                if len(left) < before:
                    _announce(context)
    return Retried(before - len(left), len(left), trouble, halted)


def _send(
    context: Context, manifest: Manifest, chosen: Iterable[DeadLetter], left: dict[tuple[str, int, str], DeadLetter]
) -> tuple[str, bool]:
    """What is accepted goes from ``left``; what stopped it, or one of them, and whether that stops all there."""
    trouble = ""
    later = Later(context, manifest.id, left)
    often = 1 + len(left) // _MOST_NOTED
    for letter in chosen:
        try:
            again = redeliver(context, manifest, letter, later)
        except Halt as halt:
            return str(halt), halt.scope != "session"
        except TROUBLES as error:
            trouble = why(context.session, error)
            continue
        if again is not None:
            left[letter.key] = again
            continue
        del left[letter.key]
        if len(left) % often == 0:  # a server without keys would take it twice, should this process be killed
            _keep(context, list(left.values()))
    return trouble, False


def drop(engine: Engine, session: str, chosen: Selection) -> int:
    """Give the chosen ones up for good: they count as settled from now on. How many they were."""
    with engine.at(session) as (_, context):
        letters = context.dead.all()
        kept = [letter for letter in letters if not chosen(letter)]
        facts = context.checkpoint.state.facts
        context.checkpoint.fact("given_up", int(facts.get("given_up") or 0) + len(letters) - len(kept))
        _keep(context, kept)
        _announce(context)
    return len(letters) - len(kept)


def records_of(engine: Engine, session: str, letters: Iterable[DeadLetter]) -> list[tuple[DeadLetter, Any]]:
    """Each with its record's data as it lies in its segment (text), or None where that is gone."""
    with engine.at(session) as (_, context):
        found = [(letter, record_of(context, letter)) for letter in letters]
    return [(letter, record.data.decode("utf-8", "replace") if record else None) for letter, record in found]


def _keep(context: Context, letters: list[DeadLetter]) -> None:
    context.dead.keep_only(letters)
    context.checkpoint.commit()
    context.checkpoint.save_copy()


def _announce(context: Context) -> None:
    """An agent may have noted how many there are, and looks at the session again when its directory changes."""
    os.utime(context.session)
