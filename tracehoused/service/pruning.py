"""Which sessions are to be deleted: those settled for longer than the grace, or, when the spool is over its budget, the longest settled."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone

from tracehouse.exceptions import SpoolError, TracehouseError
from tracehouse.spool import durable, layout
from tracehoused.exceptions import LeaseHeld
from tracehoused.identities.credentials import NoCredential
from tracehoused.service.growing import ends_of
from tracehoused.service.ledger import Ledger, Note, age, directory_mark
from tracehoused.service.retention import REMOVED, Kept, is_pruned, prune, recover, trash_of
from tracehoused.upload.damage import damaged_bytes
from tracehoused.upload.engine import Destination, Engine
from tracehoused.upload.lease import Lease
from tracehoused.upload.opening import check_dir
from tracehoused.upload.reader import read_manifest, session_dirs
from tracehoused.upload.state import SENSELESS

__all__ = ["CutShort", "Pruned", "candidates", "note_pruned", "note_unknown", "prune_session", "tidy"]


@dataclass(frozen=True)
class Pruned:
    """What became of one session: ``freed`` bytes, or why it was ``kept``; ``momentary`` where an agent was at it. ``mark``: of its
    directory, when nothing was in it any more; 0 where a writer came. ``damaged``: bytes of it that no record could be made of. ``failed``:
    the disk kept it."""

    session: str
    freed: int
    kept: str = ""
    mark: int = 0
    momentary: bool = False
    damaged: int = 0
    failed: bool = False


def candidates(
    ledger: Ledger,
    *,
    older_than: float,
    odo: float,
    over: int = 0,
    over_files: int = 0,
    but: Callable[[str], bool] = lambda name: False,
) -> list[str]:
    """Names of sessions to prune. ``older_than``: seconds since they were settled; ``over``: bytes, ``over_files``: files to get rid
    of whatever their age; ``but``: those of which it is known that they stay, so that others have to make room."""
    now = time.time()
    chosen = []
    for name, note in sorted(ledger.items(), key=lambda item: (item[1].odo, item[1].wall)):
        if note.pruned or note.dead or but(name):
            continue
        if age(note, now, odo) >= older_than or over > 0 or over_files > 0:
            chosen.append(name)
            over -= note.size
            over_files -= note.files
    return chosen


def prune_session(engine: Engine, session: str, *, dry: bool = False) -> Pruned:
    """Delete a session's records if that is safe, as its own destination tells."""
    try:
        manifest = read_manifest(session)
        credential = engine.known_credential(manifest)
        if isinstance(credential, NoCredential):
            return Pruned(session, 0, credential.reason)
        destination = Destination.of(credential)
        with closing(Lease(session)):
            checkpoint = engine.checkpoint(session, manifest, destination)
            at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            lives = engine.liveness(session)
            freed = prune(session, manifest, checkpoint, lives, at=at, dry=dry)
        mark = directory_mark(session)  # first: what comes later changes it
        damaged = damaged_bytes(checkpoint.state.facts)
        return Pruned(session, freed, mark=mark if is_pruned(session) else 0, damaged=damaged)
    except LeaseHeld as held:
        return Pruned(session, 0, f"an agent is at it ({held.holder})", momentary=True)
    except (Kept, TracehouseError) as error:
        return Pruned(session, 0, str(error))
    except OSError as error:
        return Pruned(session, 0, str(error), failed=True)
    except SENSELESS as error:
        return Pruned(session, 0, f"it makes no sense: {error!r}")


@dataclass(frozen=True)
class CutShort:
    """A deletion that was killed, and is undone now; or ``trouble``: why it cannot be."""

    session: str
    trouble: str = ""

    def __str__(self) -> str:
        told = f"cannot be undone: {self.trouble}" if self.trouble else "is undone"
        return f"a deletion that was cut short {told}"


def tidy(spools: Iterable[str]) -> list[CutShort]:
    """Before sessions are looked at: what a crash left in the trash goes back, what was removed goes for good. What was found there."""
    return [found for spool in spools for found in _tidy(spool)]


def _tidy(spool: str) -> Iterator[CutShort]:
    trash = os.path.join(spool, layout.TRASH)
    try:
        names = sorted(os.listdir(trash)) if check_dir(trash) else []
    except (SpoolError, OSError) as error:
        yield CutShort(trash, str(error))
        return
    for name in names:
        if name.endswith(REMOVED):
            shutil.rmtree(os.path.join(trash, name), ignore_errors=True)
        elif layout.is_session_dir(name):
            yield from _undo(os.path.join(spool, name))


def _undo(session: str) -> Iterator[CutShort]:
    try:
        if not check_dir(trash_of(session)):
            return
        durable.private_dir(session)
        with closing(Lease(session)):
            recovered = recover(session)
    except LeaseHeld:
        return  # a deletion that is under way
    except (SpoolError, OSError) as error:
        yield CutShort(session, str(error))
    else:
        if recovered:
            yield CutShort(session)


def note_pruned(ledger: Ledger, pruned: Pruned) -> None:
    """Change what is noted of a session whose records were deleted."""
    name = os.path.basename(pruned.session)
    note = ledger.get(name)
    if note is not None:
        ledger.put(name, note._replace(mtime=pruned.mark, size=0, files=6, pruned=True, ends=()))


def note_unknown(engine: Engine, ledger: Ledger, spool: str, odo: float) -> list[Pruned]:
    """Look at the sessions of which nothing is noted, and note those that could be pruned as settled from now on. Those of which the disk
    lets nobody say so."""
    failed = []
    for session in session_dirs(spool):
        mtime = directory_mark(session)
        known = ledger.get(os.path.basename(session))
        if known is not None and known.mtime == mtime:
            continue
        if is_pruned(session):
            ledger.put(os.path.basename(session), Note(mtime, time.time(), odo, 0, 6, 0, True))
            continue
        ends = ends_of(session)
        found = prune_session(engine, session, dry=True)
        if found.failed:
            failed.append(found)
        if not found.kept:
            note = Note(mtime, time.time(), odo, found.freed, 8, 0, False, ends=ends)
            ledger.put(os.path.basename(session), note)
    return failed
