"""Deleting what is safely elsewhere: the segments and media of a closed session, wholly acknowledged by its own destination.

The receipt is written first. Then the segments are moved to ``<spool>/.trash/<session>/`` and looked at a second time: if anything is
there that was not acknowledged (a writer raced, its file descriptor moved along), they are moved back. Only then are they deleted: one
rename to ``<session>.removed`` decides it for all of them, and unlinking goes on from there. A crash at any point leaves segments in the
session, in the trash, from where ``recover`` puts them back, or behind that rename, where they only wait to be unlinked: what came back
in part would be taken for all that there ever was.

``upload/<destination>/receipt.json``: ``uid``, ``kind``, ``id``, ``server_id``, ``status``, ``next_step``, ``attempt``, ``claim``,
``ends`` (each writer's last segment and seq), ``rollouts`` (how many), ``records``, ``bytes``, ``pruned_at``. The journal stays beside it,
so that a session that is resumed goes on from both.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from typing import Any, Callable

from tracehouse.exceptions import SpoolError
from tracehouse.spool import durable, layout, liveness
from tracehouse.spool import record as framing
from tracehouse.spool.manifest import Manifest
from tracehoused.upload.checkpoint import IDS, Checkpoint
from tracehoused.upload.facts import is_count
from tracehoused.upload.opening import check_dir, open_checked
from tracehoused.upload.reader import Epoch, Scan, measure, scan, writers
from tracehoused.upload.receipt import ends_of, read_receipt
from tracehoused.upload.state import ENDS, SENSELESS

__all__ = ["REMOVED", "Kept", "is_pruned", "prune", "receipt_of", "recover", "remove", "trash_of"]

# how the names end of what is deleted for good, and may still have to be unlinked
REMOVED = ".removed"

Lives = Callable[[Epoch], "bool | None"]


class Kept(Exception):
    """A session stays as it is; says why."""


def prune(session: str, manifest: Manifest, checkpoint: Checkpoint, lives: Lives, *, at: str, dry: bool = False) -> int:
    """Delete a session's segments and media; the bytes that were freed. Kept when that is not safe. The caller holds its lease.

    ``dry``: look, and say what would be freed. ``at``: UTC ISO 8601.
    """
    epochs = writers(session)
    for epoch in epochs:
        if _may_write(session, epoch, lives):
            raise Kept("a process that writes it lives")
    measure(session, epochs)
    _check(session, manifest, checkpoint, epochs, lives)
    size = sum(sum(epoch.sizes.values()) for epoch in epochs) + _media_bytes(session)
    if dry or not epochs:
        return size
    trash = _own_trash(session)
    _write_receipt(session, manifest, checkpoint, epochs, at)
    try:
        _move(session, trash, [layout.segment_name(epoch.id, n) for epoch in epochs for n in epoch.sizes])
        _move_media(session, trash)
        again = writers(trash)
        measure(trash, again)
        _check(trash, manifest, checkpoint, again, lives)
        if any(_may_write(session, epoch, lives) for epoch in again) or _refers_to_media(session):
            raise Kept("a writer came back")
        _delete(trash, trash)
    except BaseException:
        recover(session)
        raise
    return size


def recover(session: str) -> bool:
    """After a crash: what lies in the trash of a session goes back to it, and a later ``prune`` decides anew. Whether anything did.

    The caller holds the session's lease, so that this is nobody's deletion under way.
    """
    trash = _own_trash(session)
    if not check_dir(trash):
        return False
    restore(trash, session)
    return True


def remove(session: str) -> None:
    """Delete a session with all that is in it, acknowledged or not."""
    trash = _own_trash(session)
    durable.private_dir(os.path.dirname(trash))
    if check_dir(trash):  # of a deletion that was cut short: an agent would bring it back
        _delete(trash, trash)
    _delete(session, trash)


def is_pruned(session: str) -> bool:
    """Its receipt is there and its records are not."""
    upload = os.path.join(session, layout.UPLOAD)
    receipts = [os.path.exists(os.path.join(upload, name, layout.RECEIPT)) for name in _names(upload)]
    return any(receipts) and not any(layout.parse_segment_name(name) for name in _names(session))


def receipt_of(session: str) -> dict[str, Any] | None:
    """The receipt of a pruned session, whichever destination gave it."""
    upload = os.path.join(session, layout.UPLOAD)
    for name in _names(upload):
        found = read_receipt(os.path.join(upload, name))
        if found is not None:
            return found
    return None


def trash_of(session: str) -> str:
    return os.path.join(os.path.dirname(session), layout.TRASH, os.path.basename(session))


def _own_trash(session: str) -> str:
    """Where it is moved to; SpoolError where that leads out of the spool."""
    trash = trash_of(session)
    for directory in (os.path.dirname(trash), trash):
        check_dir(directory)
    return trash


def restore(trash: str, session: str) -> None:
    """Put back what lies in the trash; what came to the session meanwhile stays."""
    media = os.path.join(trash, layout.MEDIA)
    if check_dir(media):
        check_dir(os.path.join(session, layout.MEDIA))
        _move(media, os.path.join(session, layout.MEDIA), _names(media))
        os.rmdir(media)
    _move(trash, session, [name for name in _names(trash) if name != layout.MEDIA])
    os.rmdir(trash)


def _delete(directory: str, trash: str) -> None:
    """All of it or, up to the rename, nothing."""
    removed = trash + REMOVED
    shutil.rmtree(removed, ignore_errors=True)  # of an earlier one, which was cut short
    durable.move(directory, removed)
    try:
        shutil.rmtree(removed)
    except FileNotFoundError:
        pass  # who tidies the trash was at it too, and goes on


def _may_write(session: str, epoch: Epoch, lives: Lives) -> bool:
    """Whether a process may still have this epoch. Its lock is gone when it ended well, and proves nothing in a copy."""
    lock = liveness.read_lock(os.path.join(os.path.dirname(session), layout.WRITERS), epoch.id)
    return lock is not None and bool(lock["genuine"]) and lives(epoch) is not False


def _check(session: str, manifest: Manifest, checkpoint: Checkpoint, epochs: Iterable[Epoch], lives: Lives) -> None:
    """Kept unless each writer has ended, and each record is acknowledged, not only given up."""
    state = checkpoint.state
    if state.in_flight or state.facts.get("untold") or state.facts.get("stopped"):
        raise Kept("not everything of it has arrived")
    if len(checkpoint.dead):
        raise Kept(f"{len(checkpoint.dead)} records were refused: see `tracehouse deadletters`")
    ends = dict(state.facts.get(ENDS) or {})
    for epoch in epochs:
        if not ends.get(epoch.id, {}).get("done") and lives(epoch) is not False:
            raise Kept("it is not known to have ended")
        for n, size in epoch.sizes.items():
            start = state.cursors.get(epoch.id, {}).get(n, 0)
            path = os.path.join(session, layout.segment_name(epoch.id, n))
            if start < size and _has_record(path, framing.checksum_seed(manifest.uid, epoch.id), start, size):
                raise Kept("not all of it is acknowledged")


def _has_record(path: str, seed: int, start: int, stop: int) -> bool:
    """Whether something whole is there: a torn tail was never a record."""
    fd = open_checked(path)
    try:
        return next(scan(fd, seed, start, stop, Scan(start)), None) is not None
    finally:
        os.close(fd)


def _write_receipt(session: str, manifest: Manifest, checkpoint: Checkpoint, epochs: list[Epoch], at: str) -> None:
    facts = checkpoint.state.facts
    known = receipt_of(session) or {}
    last = epochs[-1]
    sent = facts.get("status_sent")
    fields = {
        "uid": manifest.uid,
        "kind": manifest.kind,
        "id": manifest.id,
        "server_id": facts.get("server_id"),
        "status": sent[0] if isinstance(sent, list) and sent else sent,
        "next_step": max(known.get("next_step", 0), *(next_step(session, manifest.uid, e) for e in epochs)),
        "attempt": max(known.get("attempt", 0), last.attempt),
        "claim": max(known.get("claim", 0), *(epoch.order[1] for epoch in epochs)),
        "ends": ends_of(known, checkpoint.state, epochs),
        "rollouts": _rollouts(checkpoint),
        "records": sum(map(len, checkpoint.state.done.values())),
        "bytes": known.get("bytes", 0) + sum(sum(epoch.sizes.values()) for epoch in epochs),
        "pruned_at": at,
    }
    checkpoint.save_copy()
    durable.replace(os.path.join(checkpoint.directory, layout.RECEIPT), json.dumps(fields).encode(), str(os.getpid()))


def next_step(session: str, uid: str, epoch: Epoch) -> int:
    """The automatic step that follows what a writer recorded. Its last segment tells: the header, how far steps were before. One that a
    kill or a power failure left empty, or torn, has none, and then those before tell too."""
    step = 0
    for n in sorted(epoch.sizes, reverse=True):
        is_told = False
        fd = open_checked(os.path.join(session, layout.segment_name(epoch.id, n)))
        try:
            for found in scan(fd, framing.checksum_seed(uid, epoch.id), 0, epoch.sizes[n], Scan(0)):
                reached = _step_after(found.type, found.data)
                step = max(step, reached or 0)
                is_told = is_told or (found.type == b"segment" and reached is not None)
        finally:
            os.close(fd)
        if is_told:
            break
    return step


def _step_after(kind: bytes, data: bytes) -> int | None:
    """None where it tells none, or makes no sense: anything may lie in a spool."""
    if kind not in (b"segment", b"metrics", b"media"):
        return None
    try:
        fields = json.loads(data)
        if kind == b"metrics" and all(key.startswith("system/") for key in fields.get("values", ())):
            return None  # the system's samples count by themselves
        step = fields.get("next_step" if kind == b"segment" else "step")
    except SENSELESS:
        return None
    if not is_count(step):
        return None
    return int(step if kind == b"segment" else step + 1)


def _rollouts(checkpoint: Checkpoint) -> int:
    try:
        with open(open_checked(os.path.join(checkpoint.directory, IDS)), "rb") as file:
            return sum(b'"kind":"trace"' in line for line in file)
    except (SpoolError, OSError):
        return 0


def _move(source: str, target: str, names: Iterable[str]) -> None:
    """Each is in one of the two, whatever a power failure leaves of it; or, on some file systems, in both."""
    names = list(names)
    durable.private_dir(target)
    if not names:
        return
    durable.sync_dir(os.path.dirname(target))  # its own name is there for good before anything is in it
    for name in names:
        old = os.path.join(source, name)
        durable.move(old, os.path.join(target, name), durable=False)
        if os.path.lexists(old):
            os.unlink(old)  # it was in both, and a rename leaves two names of one file as they are
    for directory in (target, source):
        durable.sync_dir(directory)


def _move_media(session: str, trash: str) -> None:
    media = os.path.join(session, layout.MEDIA)
    if check_dir(media):
        _move(media, os.path.join(trash, layout.MEDIA), _names(media))


def _refers_to_media(session: str) -> bool:
    """A segment has come since: its records may name media that were there."""
    return any(layout.parse_segment_name(name) for name in _names(session))


def _media_bytes(session: str) -> int:
    media = os.path.join(session, layout.MEDIA)
    names = _names(media) if check_dir(media) else ()
    return sum(os.lstat(os.path.join(media, name)).st_size for name in names)


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
