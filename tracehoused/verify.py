"""Proof that a session is at its destination: each record and media file against what is noted here, and against the server itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehoused.http.request import Request
from tracehoused.http.retry import Verdict
from tracehoused.service.retention import is_pruned, receipt_of
from tracehoused.unreadable import TROUBLES, why
from tracehoused.upload import wire
from tracehoused.upload.batch import ARTIFACTS, LANES, LOCAL, MEDIA, METRICS, SPANS, Record
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.creation import is_there
from tracehoused.upload.engine import Engine
from tracehoused.upload.gaps import COPY_AGAIN, gaps
from tracehoused.upload.intervals import Intervals
from tracehoused.upload.mediafiles import checked_media
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Epoch, Scan, is_unbegun, measure, scan, writers
from tracehoused.upload.state import SENSELESS

__all__ = ["Proof", "verify"]

# what a range is claimed for, and so can be asked after
_ASKED = (SPANS, METRICS, MEDIA, ARTIFACTS)
_MOST = 5_000
_TORN_LOSS = re.compile(rb'\{"crc":"[0-9a-f]{8}","seq":[0-9]+,"type":"dropped",')


@dataclass
class Proof:
    """``records`` here (bookkeeping aside), ``problems`` in words. ``asked``: the server was, and all is proven there if there are no
    problems; else only what is noted here was compared. ``deleted``: records that were deleted here after their acknowledgement."""

    session: str
    id: str = ""
    records: int = 0
    media: int = 0
    deleted: int = 0
    asked: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        return self.asked and not self.problems


@dataclass
class _Found:
    """What of a session is acknowledged, by (epoch, lane), and the media that this names, but for what was ``refused``: (epoch, seq, lane).
    ``files``: the media that were looked at here."""

    refused: set[tuple[str, int, str]]
    seqs: dict[tuple[str, str], Intervals] = field(default_factory=dict)
    hashes: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)


def verify(engine: Engine, session: str) -> Proof:
    """Compare a session with its receipts and, where the server can be asked, with the server."""
    proof = Proof(session, os.path.basename(session))
    try:
        if is_unbegun(session) and not is_pruned(session):
            proof.asked = True
        else:
            _prove(engine, session, proof)
    except Halt as halt:
        proof.asked = False
        proof.problems.append(f"the server could not be asked: {halt}")
    except TROUBLES as error:
        proof.problems.append(why(session, error))
    return proof


def _prove(engine: Engine, session: str, proof: Proof) -> None:
    with engine.at(session) as (manifest, context):
        proof.id = manifest.id
        refused = {letter.key for letter in context.dead.all()}
        found = _Found(refused)
        epochs = writers(session)
        lives = engine.liveness(session)
        ended = {epoch.id for epoch in epochs if not lives(epoch)}
        measure(session, epochs)
        for epoch in epochs:
            _compare(context, epoch, epoch.id in ended, found, proof)
        if refused:
            told = "1 record was" if len(refused) == 1 else f"{len(refused):,} records were"
            proof.problems.append(f"{told} refused: see `tracehouse deadletters list`")
        proof.deleted = (receipt_of(session) or {}).get("records", 0)
        forgotten = context.checkpoint.state.forgotten
        if forgotten:
            proof.problems.append(
                f"{forgotten:,} records were deleted here after they were acknowledged, and the server has lost them since"
            )
        _ask(context, manifest.kind, found, proof)


def _compare(context: Context, epoch: Epoch, ended: bool, found: _Found, proof: Proof) -> None:
    """Every byte of a writer's segments: a record that is settled, or damage."""
    state = context.checkpoint.state
    unsettled = 0
    seen, here = Intervals(), Intervals()
    damaged: dict[int, int] = {}
    torn: dict[int, bytes] = {}
    for n, size in epoch.sizes.items():
        result = Scan(0)
        fd = open_checked(os.path.join(context.session, layout.segment_name(epoch.id, n)))
        try:
            for record in scan(fd, framing.checksum_seed(context.uid, epoch.id), 0, size, result):
                _drop_whole(torn, fd, record)
                here.add(record.seq, record.seq)
                lane = LANES.get(record.type)
                if lane is None:
                    proof.problems.append(
                        f"a record of an unknown type {record.type.decode()!r}: a newer version wrote it"
                    )
                if lane in (None, LOCAL) or record.seq in seen:
                    continue
                assert lane is not None
                seen.add(record.seq, record.seq)
                proof.records += 1
                if (epoch.id, record.seq, lane) in found.refused:
                    continue
                is_settled = state.is_settled(epoch.id, lane, record.seq)
                unsettled += not is_settled
                if lane == MEDIA:
                    _compare_media(context, record.data, found, proof, asked=is_settled)
                if is_settled and lane in _ASKED and not (lane == METRICS and _is_empty(context, record.data)):
                    found.seqs.setdefault((epoch.id, lane), Intervals()).add(record.seq, record.seq)
            if result.tail and (n != max(epoch.sizes) or ended):
                torn[n] = os.pread(fd, result.tail, size - result.tail)
        finally:
            os.close(fd)
        damaged[n] = result.damaged_bytes
    for n in epoch.sizes:
        size = damaged[n] + len(torn.get(n, b""))
        if size:
            proof.problems.append(
                f"{size:,} bytes of segment {epoch.id}-{n} are no record: damaged, or torn when its writer died"
            )
    proof.problems += [f"{gap}; {COPY_AGAIN}" for gap in gaps(context.session, context.uid, epoch, state, here)]
    if unsettled:
        proof.problems.append(f"{unsettled:,} records are not acknowledged")


def _drop_whole(torn: dict[int, bytes], fd: int, record: Record) -> None:
    """What a write broke off, on a full disk, is written again in a later segment: there it is whole, and nothing is lost. What was to
    tell of a loss is told there with what was lost since."""
    for n, tail in list(torn.items()):
        is_told = record.type == b"dropped" and _TORN_LOSS.match(tail)
        if is_told or (len(tail) < record.end - record.start and os.pread(fd, len(tail), record.start) == tail):
            del torn[n]


def _is_empty(context: Context, data: bytes) -> bool:
    """A metrics record with nothing in it that its server could hold."""
    rendered = context.renders[METRICS](data)
    return rendered is not None and rendered[1] == 0


def _compare_media(context: Context, data: bytes, found: _Found, proof: Proof, *, asked: bool) -> None:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = {}
    name, size = fields.get("file"), fields.get("size")
    if not isinstance(name, str) or not layout.is_media_name(name) or not isinstance(size, int):
        proof.problems.append("a media record names no file")
        return
    digest = name.partition(".")[0]
    if asked:
        found.hashes.add(digest)
    if digest not in found.files:
        checked = checked_media(os.path.join(context.session, layout.MEDIA, name), size, digest)
        if isinstance(checked, str):
            proof.problems.append(f"{name}: {checked}")
        proof.media += 1
        found.files.add(digest)


def _ask(context: Context, kind: str, found: _Found, proof: Proof) -> None:
    """The server: whether it has the trace or run, and each record of it."""
    if not context.capabilities.verify:
        return
    server_id = context.checkpoint.state.facts.get("server_id")
    if server_id is None:
        if found.seqs:
            proof.problems.append("it was never created at the server")
        proof.asked = not found.seqs
        return
    if not is_there(context, kind, str(server_id)):
        proof.problems.append("the server does not have it any more")
    places = [(epoch, lane, *pair) for (epoch, lane), seqs in found.seqs.items() for pair in seqs]
    hashes = sorted(found.hashes)
    for at in range(0, max(len(places), len(hashes), 1), _MOST):
        _ask_for(context, places[at : at + _MOST], hashes[at : at + _MOST], proof)
    proof.asked = True


def _ask_for(context: Context, places: list[tuple[str, str, int, int]], hashes: list[str], proof: Proof) -> None:
    asked = [
        {"uid": context.uid, "segment": epoch, "endpoint": lane, "first": first, "last": last}
        for epoch, lane, first, last in places
    ]
    answer = context.ask(Request("POST", "/v1/verify", body=wire.dumps({"sessions": asked, "media": hashes})))
    body = answer.body or {}
    if answer.verdict is not Verdict.ACCEPTED or not isinstance(body.get("sessions"), list):
        raise Halt("unavailable", answer.reason or "its answer makes no sense", scope="session")
    try:
        missing = sum(_missing(place, told) for place, told in zip(places, body["sessions"]))
        files = len(body.get("missing") or ())
    except SENSELESS:
        raise Halt("unavailable", "its answer makes no sense", scope="session") from None
    missing += sum(last - first + 1 for _, _, first, last in places[len(body["sessions"]) :])
    if missing:
        proof.problems.append(f"{missing:,} records are acknowledged, and are not at the server")
    if files:
        proof.problems.append(f"{files:,} media files are not at the server")


def _missing(place: tuple[str, str, int, int], told: Any) -> int:
    """How many of a range's records a server does not say that it has."""
    _, _, first, last = place
    pairs: Iterable[Any] = told.get("have") or () if isinstance(told, dict) else ()
    have = Intervals(
        (max(first, int(low)), min(last, int(high))) for low, high in pairs if high >= first and low <= last
    )
    return last - first + 1 - len(have)
