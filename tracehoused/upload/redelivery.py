"""Another try for a record that lies in the dead letters: one request, for it alone."""

from __future__ import annotations

import os
from dataclasses import replace
from hashlib import sha256

from tracehouse.spool import layout
from tracehouse.spool.manifest import Manifest
from tracehoused.http.request import Request
from tracehoused.http.retry import Verdict
from tracehoused.upload import wire
from tracehoused.upload.batch import CLOSING, CREATE, LANES, MEDIA, PATCHES, Batch, Bounds, Record, batch_key
from tracehoused.upload.context import Context
from tracehoused.upload.creation import is_there
from tracehoused.upload.deadletter import DeadLetter
from tracehoused.upload.mediafiles import media_of
from tracehoused.upload.patches import fold
from tracehoused.upload.reader import read_header
from tracehoused.upload.rollouts import Ids
from tracehoused.upload.rounds import read_batch, read_records

__all__ = ["record_of", "redeliver"]


def redeliver(context: Context, manifest: Manifest, letter: DeadLetter) -> DeadLetter | None:
    """None when it was accepted now; else the letter with the reason of this time. Halt when the destination cannot be asked."""
    letter = _placed(context, letter)
    request = _request(context, manifest, letter)
    if isinstance(request, str):
        return replace(letter, reason=request)
    if request is None:
        return None
    answer = context.ask(request, may_be_lost=True)
    if answer.status is None:
        # Halt where nothing at all gets through
        is_there(context, manifest.kind, str(context.checkpoint.state.facts["server_id"]))
        # the next time under the same key: it may have been taken
        return replace(letter, status=None, reason=answer.reason)
    if answer.verdict is Verdict.ACCEPTED:
        return None
    if answer.verdict is Verdict.OVERLAP:
        return None  # it is there: somebody else brought it
    return replace(letter, status=answer.status, reason=answer.reason, at=context.now())


def record_of(context: Context, letter: DeadLetter) -> Record | None:
    """The record itself, from its segment; None when it is not there any more."""
    return _read(context, _placed(context, letter))


def _placed(context: Context, letter: DeadLetter) -> DeadLetter:
    """With the number of the segment in which its record lies, where it is here: earlier versions wrote that of a later one."""
    if _read(context, letter) is not None:
        return letter
    parsed = map(layout.parse_segment_name, os.listdir(context.session))
    earlier = {one.n for one in parsed if one is not None and one.epoch == letter.epoch and one.n < letter.n}
    others = (replace(letter, n=n) for n in sorted(earlier, reverse=True))
    return next((other for other in others if _read(context, other) is not None), letter)


def _read(context: Context, letter: DeadLetter) -> Record | None:
    found = read_records(context.session, context.uid, _bounds(letter))
    return found[0] if found else None


def _bounds(letter: DeadLetter) -> Bounds:
    lane = LANES.get(letter.type.encode(), letter.lane) if letter.lane == CLOSING else letter.lane
    return Bounds(lane, letter.epoch, letter.n, letter.start, letter.end, letter.seq, letter.seq)


def _request(context: Context, manifest: Manifest, letter: DeadLetter) -> Request | str | None:
    """What to send; a reason why nothing can be; None when there is nothing to."""
    server_id = context.checkpoint.state.facts.get("server_id")
    record = _read(context, letter)
    if record is None:
        return "its segment is not here any more"
    if server_id is None:
        return "the server does not know its session yet"
    # a key of this refusal's own: under the old one a server may have kept its refusal
    key = sha256(
        f"{batch_key(context.uid, context.generation, context.destination, _bounds(letter))}{letter.at}".encode()
    )
    if letter.lane == CLOSING:
        return _last_word(context, manifest.kind, str(server_id), key.hexdigest()[:40])
    if letter.lane == CREATE:
        run_id = str(server_id) if manifest.kind == "run" and record.type == b"trace" else None
        return wire.create_request(record.type.decode(), record.data, run_id, key.hexdigest()[:40])
    if letter.lane == PATCHES:
        return _patch(context, manifest, letter, record, str(server_id), key.hexdigest()[:40])
    batch = read_batch(context.session, context.uid, _bounds(letter), _attempt(context, letter), context.renders)
    if batch is None:
        return "it cannot be read any more"
    return _batch(context, batch, str(server_id), key.hexdigest()[:40])


def _last_word(context: Context, kind: str, server_id: str, key: str) -> Request | None:
    """None where another one has been told since."""
    facts = context.checkpoint.state.facts
    refused = facts.get("refused") or {}
    if not refused or facts.get("status_sent") != refused["mark"]:
        return None
    return wire.patch_request(kind, server_id, refused["fields"], key)


def _patch(
    context: Context, manifest: Manifest, letter: DeadLetter, record: Record, server_id: str, key: str
) -> Request | str | None:
    for patch in fold([record], manifest.id):
        own = patch.target == manifest.id and patch.kind == manifest.kind
        others = {} if own else {patch.target: manifest.created_at}
        known = Ids(context).ids_of(others, server_id, (letter.epoch, letter.n))
        target = server_id if own else known.get(patch.target)
        if target is None:
            return f"nothing is known of {patch.target!r}, which it patches"
        if patch.is_card:
            return wire.push_card_request(target, wire.dumps(patch.fields), key)
        if patch.fields:
            return wire.patch_request(patch.kind, target, patch.fields, key)
    return None


def _batch(context: Context, batch: Batch, server_id: str, key: str) -> Request | str:
    media = None
    if batch.bounds.lane == MEDIA:
        found = media_of(context, batch)
        if found is None or isinstance(found, str):
            return found or "the destination does not tell which media it takes"
        media = found
    return wire.batch_request(batch, server_id, uid=context.uid, key=key, media=media)


def _attempt(context: Context, letter: DeadLetter) -> int:
    header = read_header(os.path.join(context.session, layout.segment_name(letter.epoch, letter.n))) or {}
    attempt = header.get("attempt")
    return attempt if isinstance(attempt, int) else 1
