"""One session of a spool, read back: its metrics, spans, rollouts, media, config, and how it ended."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from fnmatch import fnmatchcase

from tracehouse.exceptions import SpoolError, SpoolFormatError
from tracehouse.outcomes import Ending, status_of
from tracehouse.spool import FORMAT, headers, layout, liveness, record
from tracehouse.spool import manifest as manifests
from tracehouse.traces import RecordedTrace, Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NamedTuple

    from tracehouse.spool.manifest import Manifest

    class Entry(NamedTuple):
        """One record: its writer, the attempt it belongs to, its number there, its type and its object."""

        writer: str
        attempt: int
        seq: int
        type: str
        data: dict[str, Any]

    class Damage(NamedTuple):
        """What cannot be read: lines that are no records, and records missing from their writers' counts."""

        lines: int
        missing: int

else:
    Entry = namedtuple("Entry", "writer attempt seq type data")
    Damage = namedtuple("Damage", "lines missing")

_LONGEST_LINE = record.MAX_RECORD + 1024
_NUMBERS = ("NaN", "Infinity", "-Infinity")
_ENDS = ("exit", "close", "run_patch")


class RecordedSession:
    """``path``, ``manifest`` (its fields as attributes), ``kind`` ("trace" or "run"), ``id``, ``project``, ``name``.

    OSError, ValueError or SpoolError when it cannot be read at all.

    >>> run = cm.init_run(client_run_id="night-9", config={"lr": 1e-3}, capture_env=False)
    >>> run.log({"train/loss": 0.5, "sample": cm.Image(b"GIF89a...")}, step=3)
    >>> run.add_artifact("seeds", data=[1, 2])
    >>> with run.rollout(step=3) as trace:
    ...     said = trace.log_user("2 + 2?")
    >>> saved = run.finish()
    >>> session = cm.read()["night-9"]
    >>> session.metrics("train/*")[0]["value"], session.config, session.artifacts()[0]["name"]
    (0.5, {'lr': 0.001}, 'seeds')
    >>> session.media()[0]["mime"], [one.id for one in session.rollouts()] == [one.id for one in session.traces()]
    ('image/gif', True)
    >>> session.spans()[0]["name"], [record.type for record in session.records("run", "artifact")]
    ('user message', ['run', 'artifact'])
    >>> session.status, session.damage
    ('finished', Damage(lines=0, missing=0))
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.manifest = _manifest(path)
        self.kind = self.manifest.kind
        self.id = self.manifest.id
        self.project = self.manifest.project
        self.name = self.manifest.name

    def records(self, *types: str) -> Iterator[Entry]:
        """The records of these types, or all of them: by attempt, writer and number, each once."""
        for writer, attempt, found in self._by_writer(types):
            for seq in sorted(found):
                kind, data = found[seq]
                fields = _object(data)
                if fields is not None:
                    yield Entry(writer, attempt, seq, kind, fields)

    def metrics(self, key: str | None = None) -> Rows:
        """``key, step, wall_time, value, attempt``, one row for each value logged; ``key`` may be a pattern: ``"train/*"``."""
        rows = Rows()
        for entry in self.records("metrics"):
            values = entry.data.get("values")
            for name, value in values.items() if isinstance(values, dict) else ():
                if key is None or name == key or fnmatchcase(name, key):
                    rows.append(
                        {
                            "key": name,
                            "step": entry.data.get("step"),
                            "wall_time": entry.data.get("wall_time"),
                            "value": plain(value),
                            "attempt": entry.attempt,
                        }
                    )
        return rows

    def spans(self, trace_id: str | None = None) -> Rows:
        """Spans as they were recorded, of all traces in the session or of one; one recorded again is there in its last form."""
        spans: dict[tuple[Any, Any], dict[str, Any]] = {}
        for entry in self.records("span"):
            if trace_id is None or entry.data.get("session_id") == trace_id:
                spans[str(entry.data.get("session_id")), str(entry.data.get("id"))] = entry.data
        return Rows(spans.values())

    def traces(self) -> list[RecordedTrace]:
        """A trace's own, or a run's rollouts, in the order they were begun."""
        found: dict[str, RecordedTrace] = {}
        for entry in self.records("trace", "trace_patch"):
            name = str(entry.data.get("session_id") or self.id)
            found.setdefault(name, RecordedTrace(name)).add_fields(entry.data)
        for span in self.spans():
            name = str(span.get("session_id") or self.id)
            found.setdefault(name, RecordedTrace(name)).spans.append(span)
        return list(found.values())

    def rollouts(self) -> list[RecordedTrace]:
        """The traces in a run; a trace has none."""
        return self.traces() if self.kind == "run" else []

    def media(self) -> Rows:
        """The media records, with the ``path`` of each file."""
        rows = Rows()
        for entry in self.records("media"):
            name = entry.data.get("file")
            good = isinstance(name, str) and layout.is_media_name(name)
            path = os.path.join(self.path, layout.MEDIA, name) if isinstance(name, str) and good else None
            rows.append({**entry.data, "path": path})
        return rows

    def artifacts(self) -> Rows:
        """``name``, ``kind`` and ``data`` of each."""
        return Rows(entry.data for entry in self.records("artifact"))

    @property
    def config(self) -> dict[str, Any]:
        """A run's config, with what was changed while it ran."""
        config: dict[str, Any] = {}
        for entry in self.records("run", "config_patch"):
            changes = entry.data.get("config") if entry.type == "run" else entry.data
            config.update(changes if isinstance(changes, dict) else {})
        return config

    @property
    def status(self) -> str:
        """running, finished, failed, crashed, killed, ended (a trace), empty, or unknown: nobody here can say whether it lives."""
        endings = {epoch: Ending(attempt, claim, self._lives(epoch)) for epoch, attempt, claim, _ in self._writers()}
        for entry in self.records(*_ENDS):
            endings[entry.writer].note(entry.type, entry.data)
        return status_of(list(endings.values()))

    @property
    def damage(self) -> Damage:
        """Counted by reading everything. The last line of a living writer may be one that is still being written."""
        lines = missing = 0
        for epoch, _, _, numbers in self._writers():
            seqs: set[int] = set()
            seed = record.checksum_seed(self.manifest.uid, epoch)
            for line in self._lines(epoch, numbers):
                parsed = record.parse(line.rstrip(b"\n"), seed)
                if parsed is None:
                    lines += 1
                else:
                    seqs.add(parsed[0])
            missing += max(seqs, default=0) - len(seqs)
        return Damage(lines, missing)

    def _lives(self, epoch: str) -> bool | None:
        lock = liveness.read_lock(os.path.join(os.path.dirname(self.path), layout.WRITERS), epoch)
        return liveness.lives_here(lock) if lock else None

    def _writers(self) -> list[tuple[str, int, int, list[int]]]:
        """(epoch, attempt, claim, segment numbers) of each writer, in the order of their records."""
        numbers: dict[str, list[int]] = {}
        for name in sorted(os.listdir(self.path)):
            segment = layout.parse_segment_name(name)
            if segment is not None:
                numbers.setdefault(segment.epoch, []).append(segment.n)
        found = []
        for epoch, ns in numbers.items():
            stated = (headers.claim_in(os.path.join(self.path, layout.segment_name(epoch, n))) for n in ns)
            attempt, claim = next((one for one in stated if one), (1, 1))
            found.append((epoch, attempt, claim, ns))
        return sorted(found, key=lambda one: (one[1], one[2], one[0]))

    def _by_writer(self, types: tuple[str, ...]) -> Iterator[tuple[str, int, dict[int, tuple[str, bytes]]]]:
        """What a writer wrote again it wrote later and with the same number: all of one writer is held, of the wanted types."""
        wanted = {kind.encode() for kind in types}
        for epoch, attempt, _, numbers in self._writers():
            seed = record.checksum_seed(self.manifest.uid, epoch)
            found: dict[int, tuple[str, bytes]] = {}
            for line in self._lines(epoch, numbers):
                parsed = record.parse(line.rstrip(b"\n"), seed)
                if parsed is not None and (not wanted or parsed[1] in wanted):
                    found.setdefault(parsed[0], (parsed[1].decode(), parsed[2]))
            yield epoch, attempt, found

    def _lines(self, epoch: str, numbers: list[int]) -> Iterator[bytes]:
        for n in numbers:
            path = os.path.join(self.path, layout.segment_name(epoch, n))
            try:
                with open(path, "rb", opener=_open) as file:
                    while line := file.readline(_LONGEST_LINE):
                        yield line
            except OSError:
                continue  # what cannot be read is missing from the count

    def __repr__(self) -> str:
        return f"<RecordedSession {self.kind} {self.id!r}, project {self.project!r}>"


def plain(value: Any) -> Any:
    """NaN and infinities, which JSON holds as tagged objects, as floats, wherever they are in a value."""
    if isinstance(value, dict):
        if value.get("_type") == "number" and value.get("value") in _NUMBERS:
            return float(value["value"])
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _manifest(path: str) -> Manifest:
    """The manifest, or the copy of it in a segment's header."""
    try:
        return manifests.read(path)
    except manifests.FormatError as error:
        found = error.found if isinstance(error.found, int) else 0
        raise SpoolFormatError(found, FORMAT, path) from error
    except (ValueError, FileNotFoundError) as error:
        for name in sorted(os.listdir(path)):
            found_in_header = _header(os.path.join(path, name)) if layout.parse_segment_name(name) else None
            if found_in_header is not None:
                return found_in_header
        raise SpoolError(f"no manifest, and no segment that tells what it said ({error})", path=path) from error


def _header(path: str) -> Manifest | None:
    try:
        with open(path, "rb", opener=_open) as file:
            for _ in range(4):
                parsed = record.peek(file.readline(2 * manifests.MAX_MANIFEST).rstrip(b"\n"))
                if parsed is not None and parsed[1] == b"segment":
                    return manifests.Manifest(json.loads(parsed[2])["session"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None
