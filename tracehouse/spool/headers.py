"""What a segment says in its first line, and what a writer reads back of segments: its own, and who else is there."""

from __future__ import annotations

import os

from tracehouse.spool import FORMAT, layout, record
from tracehouse.spool.manifest import MAX_MANIFEST, Manifest
from tracehouse.values import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# what a receipt may end in that somebody else wrote
_SENSELESS = (ValueError, KeyError, TypeError, OverflowError)


def text(manifest: Manifest, told: dict[str, Any], next_step: int | None) -> str:
    """The data of a segment's first record; ``told``: epoch, n, attempt, claim, boot_id, at."""
    fields = {"format": FORMAT, **told, "pid": os.getpid(), "host": os.uname().nodename, "session": manifest.to_dict()}
    if next_step is not None:
        fields["next_step"] = next_step
    return encode(fields)


def claim_in(path: str) -> tuple[int, int] | None:
    """(attempt, claim) that a segment's first line states, or None."""
    import json

    try:
        with open(path, "rb") as file:
            parsed = record.peek(file.readline(2 * MAX_MANIFEST).rstrip(b"\n"))
        fields = json.loads(parsed[2]) if parsed else {}
        return int(fields["attempt"]), int(fields["claim"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def manifest_in(directory: str) -> Manifest | None:
    """The manifest of a session, as its segments repeat it; None where none does."""
    for name in sorted(os.listdir(directory)):
        segment = layout.parse_segment_name(name)
        if segment is None:
            continue
        import json  # not for a session that is begun

        try:
            with open(os.path.join(directory, name), "rb") as file:
                line = file.readline(2 * MAX_MANIFEST).rstrip(b"\n")
            parsed = record.peek(line)
            found = Manifest(json.loads(parsed[2])["session"]) if parsed else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if found is not None and record.parse(line, record.checksum_seed(found.uid, segment.epoch)):
            return found
    return None


def claim_pruned(directory: str) -> tuple[int, int]:
    """The highest (attempt, claim) of writers whose segments an agent removed, as its receipts tell; (0, 0) when there are none."""
    highest = (0, 0)
    for fields in _receipts(directory):
        try:
            highest = max(highest, (int(fields["attempt"]), int(fields["claim"])))
        except _SENSELESS:
            continue  # one that says nothing
    return highest


def _receipts(directory: str) -> Iterator[Any]:
    """What agents left in place of the segments that they removed. To be read after the segments: they are written before those go."""
    upload = os.path.join(directory, layout.UPLOAD)
    try:
        destinations = os.listdir(upload)
    except OSError:
        return
    import json

    for destination in destinations:
        try:
            with open(os.path.join(upload, destination, layout.RECEIPT), "rb") as file:
                fields = json.load(file)
        except (OSError, ValueError, RecursionError):
            continue  # none there, or none that can be read
        yield fields


def segments_of(directory: str, epoch: str) -> list[int]:
    """Numbers of a writer's segments in a session, ascending."""
    named = (layout.parse_segment_name(name) for name in os.listdir(directory))
    return sorted(segment.n for segment in named if segment is not None and segment.epoch == epoch)


def end_of(directory: str, epoch: str, seed: int) -> tuple[int, int]:
    """Where a writer goes on in a session that it wrote to before: (number of its next segment, its last seq).

    Behind all that is there of it and all that an agent removed: what had a number of those would be taken for it, and be lost.
    """
    own = segments_of(directory, epoch)
    following = own[-1] + 1 if own else 0
    # the last one with a record: a try that was interrupted leaves an empty one
    paths = (os.path.join(directory, layout.segment_name(epoch, n)) for n in reversed(own))
    last = next(filter(None, (max((seq for seq, _, _ in records_in(path, seed)), default=0) for path in paths)), 0)
    for fields in _receipts(directory):
        try:
            removed, seq = map(int, fields["ends"][epoch])
        except _SENSELESS:
            continue  # of others only
        following, last = max(following, removed + 1), max(last, seq)
    return following, last


def records_in(path: str, seed: int, offset: int = 0) -> Iterator[record.Parsed]:
    """The valid records of a segment from an offset on."""
    with open(path, "rb") as file:
        file.seek(offset)
        for line in file:
            parsed = record.parse(line.rstrip(b"\n"), seed)
            if parsed is not None:
                yield parsed


def read_back(segments: list[tuple[str, int]], seed: int) -> tuple[list[tuple[int, str, str]], bool]:
    """The records of (segment, offset) as they were given to be written; False when there is a segment that cannot be read."""
    found: list[tuple[int, str, str]] = []
    whole = True
    for path, offset in segments:
        try:
            for seq, kind, data in records_in(path, seed, offset):
                if kind != b"segment":
                    found.append((seq, kind.decode(), data.decode("utf-8", "surrogatepass")))
        except OSError:
            whole = False
    return found, whole
