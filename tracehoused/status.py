"""What can be said of the sessions in a spool without sending anything or taking a lease."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from tracehouse.spool.manifest import Manifest
from tracehoused.identities.credentials import Credential, NoCredential
from tracehoused.service.retention import is_pruned, receipt_of
from tracehoused.text import printable
from tracehoused.unreadable import TROUBLES, why
from tracehoused.upload import otherwise, presence
from tracehoused.upload.batch import Record
from tracehoused.upload.checkpoint import Checkpoint
from tracehoused.upload.closing import End, final
from tracehoused.upload.damage import damaged_bytes
from tracehoused.upload.endings import end_of, heard, word_due
from tracehoused.upload.engine import Destination, Engine
from tracehoused.upload.gaps import missing
from tracehoused.upload.reader import Epoch, is_unbegun, measure, read_manifest, writers
from tracehoused.upload.state import ENDS, State
from tracehoused.upload.tails import records_written, tail
from tracehoused.upload.uploader import destination_dir

__all__ = ["SessionStatus", "look"]

_UNREADABLE = "unreadable"
_LONGEST_WORD = 40


@dataclass(frozen=True)
class SessionStatus:
    """One session. ``records`` counts all lines written, headers and bookkeeping too; ``acknowledged`` those settled at the destination.

    ``state``: what the job is: running, stalled (it lives, and has recorded nothing for long), unreachable (elsewhere, with no heartbeat
    lately), finished, failed, crashed, killed, ended (a trace), unknown. ``uploaded``: nothing is left to send. ``omitted``: numbers left
    out: NaN and infinities that the destination does not take, metrics without a name, what else it dropped. ``missing``: records of
    segments that are not here, as in a copy that was not finished. ``forgotten``: records that were deleted here after their
    acknowledgement, and that the destination lost since. What was deleted after its acknowledgement counts among the records, not among
    the bytes.
    """

    session: str
    kind: str
    id: str
    uid: str
    project: str | None
    name: str | None
    state: str
    records: int
    acknowledged: int
    bytes: int
    acknowledged_bytes: int
    dead_letters: int
    dropped: int
    damaged_bytes: int
    omitted: int
    missing: int
    forgotten: int
    uploaded: bool
    destination: str | None
    identity: str | None
    server_id: str | None
    trouble: str

    @property
    def has_lost(self) -> bool:
        """Of what was uploaded, records were damaged: their numbers are missing."""
        return self.uploaded and self.damaged_bytes > 0 and self.records - self.acknowledged > self.dropped

    @property
    def is_unreadable(self) -> bool:
        """Nothing is known of it but why."""
        return self.state == _UNREADABLE

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def look(engine: Engine, session: str) -> SessionStatus:
    """The status of one session; what cannot be read is told in ``trouble``."""
    try:
        if is_unbegun(session) and not is_pruned(session):
            return _without_records(session)
        manifest = read_manifest(session)
        credential = engine.known_credential(manifest)
        epochs = writers(session)
        measure(session, epochs)
        if isinstance(credential, NoCredential):
            public = engine.public_credential(manifest)
            if public is not None and os.path.isdir(_place(session, public)):
                credential = public  # it went out without an account, because somebody asked for that
        if isinstance(credential, NoCredential):
            trouble = f"{credential.reason}{otherwise.word(session)}; {credential.hint}"
            return _status(engine, session, manifest, epochs, None, None, trouble)
        destination = Destination.of(credential)
        checkpoint = engine.checkpoint(session, manifest, destination)
        refused = engine.refusal(session, destination, checkpoint)
        return _status(engine, session, manifest, epochs, destination, checkpoint, refused or "")
    except TROUBLES as error:
        return _unreadable(session, why(session, error))


def _place(session: str, credential: Credential) -> str:
    return destination_dir(session, Destination.of(credential).hash)


def _status(
    engine: Engine,
    session: str,
    manifest: Manifest,
    epochs: list[Epoch],
    destination: Destination | None,
    checkpoint: Checkpoint | None,
    trouble: str,
) -> SessionStatus:
    state = checkpoint.state if checkpoint else State()
    facts = state.facts
    size = sum(sum(epoch.sizes.values()) for epoch in epochs)
    done = sum(_bytes_done(epoch, state) for epoch in epochs)
    ends = _ends(engine, manifest, session, epochs, state)
    return SessionStatus(
        session=session,
        kind=manifest.kind,
        id=manifest.id,
        uid=manifest.uid,
        project=manifest.project,
        name=manifest.name,
        state=_state(engine, session, epochs, ends, facts) if epochs else _without_segments(session),
        records=_deleted(epochs, state) + records_written(session, manifest.uid, epochs),
        acknowledged=sum(map(len, state.done.values())) + sum(map(len, state.lanes.values())),
        bytes=size,
        acknowledged_bytes=done,
        dead_letters=len(checkpoint.dead) if checkpoint else 0,
        dropped=state.dropped,
        damaged_bytes=damaged_bytes(facts),
        omitted=int(facts.get("omitted") or 0),
        missing=missing(facts),
        forgotten=state.forgotten,
        uploaded=done >= size and checkpoint is not None and word_due(ends, manifest.kind, facts) is None,
        destination=destination.api_base if destination else manifest.api_base,
        identity=destination.identity if destination else None,
        server_id=facts.get("server_id"),
        trouble=trouble or str(facts.get("trouble") or ""),
    )


def _deleted(epochs: list[Epoch], state: State) -> int:
    """Records acknowledged of writers whose segments were deleted since."""
    here = {epoch.id for epoch in epochs}
    return sum(len(ranges) for epoch, ranges in state.done.items() if epoch not in here)


def _bytes_done(epoch: Epoch, state: State) -> int:
    cursors = state.cursors.get(epoch.id, {})
    return sum(min(size, cursors.get(n, 0)) for n, size in epoch.sizes.items())


def _without_segments(session: str) -> str:
    receipt = receipt_of(session)
    return "empty" if receipt is None else _word(receipt.get("status") or "ended")


def _ends(engine: Engine, manifest: Manifest, session: str, epochs: list[Epoch], state: State) -> list[End]:
    """How the writers ended: from what was uploaded of their words so far, from the ends of their segments, and from who lives."""
    known = dict(state.facts.get(ENDS) or {})
    lives = engine.liveness(session)
    found = []
    for epoch in epochs:
        mine = known.get(epoch.id, {})
        for record in _last_words(session, manifest, epoch):
            if record.seq > mine.get("seq", 0):
                mine = {**mine, **_heard(mine, record)}
        found.append(end_of(epoch, mine, not mine.get("done") and lives(epoch) is False))
    return found


def _state(engine: Engine, session: str, epochs: list[Epoch], ends: list[End], facts: dict[str, Any]) -> str:
    lives = engine.liveness(session)
    open_ones = [(epoch, lives(epoch)) for epoch, end in zip(epochs, ends) if not end.over]
    job = presence.state(session, open_ones, stall_after=engine.stall_after)
    if job is not None:
        return job
    end = final(ends)
    if end is not None and end.status:
        return _word(end.status)
    if not open_ones:
        return "ended"
    # a writer that nobody can ask: what its server was told of it, with sync --close-dead
    sent = facts.get("status_sent")
    return _word(sent[0]) if isinstance(sent, list) and sent else "unknown"


def _word(status: object) -> str:
    """A status as a job or a server put it, which may be any text."""
    return printable(str(status), _LONGEST_WORD)


def _heard(known: dict[str, Any], record: Record) -> dict[str, Any]:
    try:
        return heard(known, record)
    except (ValueError, AttributeError, RecursionError):
        return {}  # damage of a kind that only its sender's spool can have


def _last_words(session: str, manifest: Manifest, epoch: Epoch) -> list[Record]:
    """What tells how a writer ended. A record later than that (the environment, a span after ``finish``) lies in a further segment,
    which is passed over where all of it was seen."""
    telling = (b"exit", b"close", b"run_patch", manifest.kind.encode())
    for n in sorted(epoch.sizes, reverse=True):
        found, is_all = tail(session, manifest.uid, epoch, n)
        told = [record for record in found if record.type in telling]
        if told or not is_all:
            return told
    return []


def _without_records(session: str) -> SessionStatus:
    return replace(_unreadable(session, ""), state="empty", uploaded=True)


def _unreadable(session: str, trouble: str) -> SessionStatus:
    name = os.path.basename(session)
    kind = name.partition("-")[0]
    return SessionStatus(
        session, kind, name, "", None, None, _UNREADABLE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, False, None, None, None, trouble
    )
