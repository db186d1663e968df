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
from tracehoused.upload.batch import CLOSING, CREATE, MEDIA, PATCHES, Batch, Record, batch_key
from tracehoused.upload.context import Context
from tracehoused.upload.creation import is_there
from tracehoused.upload.deadletter import DeadLetter
from tracehoused.upload.later import Later
from tracehoused.upload.mediafiles import media_of
from tracehoused.upload.patches import fold
from tracehoused.upload.reader import read_header
from tracehoused.upload.refused import bounds_of, placed, read
from tracehoused.upload.rollouts import Ids
from tracehoused.upload.rounds import read_batch

__all__ = ["redeliver"]


def redeliver(context: Context, manifest: Manifest, letter: DeadLetter, later: Later) -> DeadLetter | None:
    """None when it was accepted now; else the letter with the reason of this time. Halt when the destination cannot be asked."""
    letter = placed(context, letter)
    request = _request(context, manifest, letter, later)
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


def _request(context: Context, manifest: Manifest, letter: DeadLetter, later: Later) -> Request | str | None:
    """What to send; a reason why nothing can be; None when there is nothing to."""
    server_id = context.checkpoint.state.facts.get("server_id")
    record = read(context, letter)
    if record is None:
        return "its segment is not here any more"
    if server_id is None:
        return "the server does not know its session yet"
    # a key of this refusal's own: under the old one a server may have kept its refusal
    key = sha256(
        f"{batch_key(context.uid, context.generation, context.destination, bounds_of(letter))}{letter.at}".encode()
    )
    if letter.lane == CLOSING:
        return _last_word(context, manifest.kind, str(server_id), key.hexdigest()[:40])
    if letter.lane == CREATE:
        run_id = str(server_id) if manifest.kind == "run" and record.type == b"trace" else None
        return wire.create_request(record.type.decode(), record.data, run_id, key.hexdigest()[:40])
    if letter.lane == PATCHES:
        return _patch(context, manifest, letter, record, later, str(server_id), key.hexdigest()[:40])
    batch = read_batch(context.session, context.uid, bounds_of(letter), _attempt(context, letter), context.renders)
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
    context: Context, manifest: Manifest, letter: DeadLetter, record: Record, later: Later, server_id: str, key: str
) -> Request | str | None:
    for patch in fold([record], manifest.id):
        own = patch.target == manifest.id and patch.kind == manifest.kind
        others = {} if own else {patch.target: manifest.created_at}
        known = Ids(context).ids_of(others, server_id, (letter.epoch, letter.n))
        target = server_id if own else known.get(patch.target)
        if target is None:
            return f"nothing is known of {patch.target!r}, which it patches"
        fields = later.spared(letter, patch)
        if fields is None:
            continue
        if patch.is_card:
            return wire.push_card_request(target, wire.dumps(fields), key)
        return wire.patch_request(patch.kind, target, fields, key)
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
