"""Sessions made to harm who reads them, by name."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import segments
from tests.support.segments import EPOCH, header, line, manifest, metrics, span
from tracehouse.spool import layout
from tracehouse.spool.layout import fingerprint
from tracehouse.spool.manifest import MAX_MANIFEST, Manifest

Kind = Callable[["_Place"], list[Path]]
SECRET = b"the-secret-of-another-file"
# what a line of its own, or one drawn over another, would begin with
FORGED = "X-Evil: 1"
_BREAKS = "".join(f"{end}{FORGED}" for end in ("\r", "\n", "\r\n", "\x0b", "\x85", "\u2028"))
ESCAPES = f"\x1b[2J\x1b]0;owned\x07\t\u202e\x9b31m\x00{_BREAKS}"


class _Place:
    """Where a kind is to be made; ``house`` is the server that the agent has this key for, ``other`` one it has none for."""

    def __init__(self, spool: Path, outside: Path, house: str, other: str, chance: random.Random, key: str) -> None:
        self.spool, self.outside, self.house, self.other = spool, outside, house, other
        self.chance, self.key = chance, key

    def manifest(self, kind: str = "trace", **fields: Any) -> Manifest:
        name = fields.pop("id", f"hostile-{self.chance.getrandbits(48):x}")
        uid = f"{self.chance.getrandbits(128):032x}"
        return Manifest({**manifest(kind, name).to_dict(), "uid": uid, "api_base": self.house, **fields})

    def others(self, name: str) -> Path:
        """A directory beside the spool, of somebody else's."""
        made = self.outside.with_name(name)
        made.mkdir()
        return made

    def session(self, of: Manifest, *records: tuple[str, Any]) -> Path:
        """A session whose first segment has these (type, data) records behind its header."""
        lines = [line(1, "segment", header(of), uid=of.uid)]
        lines += [line(seq, kind, data, uid=of.uid) for seq, (kind, data) in enumerate(records, 2)]
        return segments.session(self.spool, of, lines)

    def plain(self, **fields: Any) -> Path:
        of = self.manifest(**fields)
        return self.session(of, ("trace", trace(of)), ("span", span(1, of.id)))


def trace(of: Manifest, **fields: Any) -> dict[str, Any]:
    return {"session_id": of.id, "started_at": segments.AT, "scaffold": "python-sdk", **fields}


def _symlink(target: Path, path: Path) -> None:
    path.symlink_to(target)


def _replaced(place: _Place, name: str, make: Callable[[Path], object]) -> list[Path]:
    """A session with one of its files replaced by something else."""
    session = place.plain()
    path = session / name
    path.unlink(missing_ok=True)
    make(path)
    return [session]


def _elsewhere(place: _Place, link: Callable[[Path, Path], object]) -> list[Path]:
    """A session whose one segment, a valid one, lies among what is somebody else's."""
    of = place.manifest()
    secret = {**span(1, of.id), "attributes": {"text": SECRET.decode()}}
    session = place.session(of, ("trace", trace(of)), ("span", secret))
    moved = place.others(f"segment-of-{session.name}") / _SEGMENT
    (session / _SEGMENT).rename(moved)
    link(moved, session / _SEGMENT)
    return [session]


def _anothers(place: _Place, names: tuple[str, ...], link: Callable[[Path, Path], object]) -> list[Path]:
    """A session of which these files are links to those of another, a sound one, in a spool of somebody else's; both ended."""
    of = place.manifest("run")
    session = _run_of_two_segments(place.spool, of, "")
    theirs = Manifest({**of.to_dict(), "name": SECRET.decode()})
    target = _run_of_two_segments(place.others(f"spool-of-{session.name}"), theirs, SECRET.decode())
    for name in names:
        (session / name).unlink()
        link(target / name, session / name)
    return [session]


def _run_of_two_segments(spool: Path, of: Manifest, text: str) -> Path:
    """It is known by its manifest alone, and each of its segments says that it is over."""
    records: list[tuple[str, Any]] = [("metrics", metrics(1, text=text)), ("close", {"at": segments.AT})]
    begins = (line(1, "segment", header(of), uid=of.uid), line(4, "segment", header(of, n=1), uid=of.uid))
    lines = [
        [begin, *(line(seq, *one, uid=of.uid) for seq, one in enumerate(records, 2 + 3 * n))]
        for n, begin in enumerate(begins)
    ]
    return segments.session(spool, of, *lines)


def _linked_directory(place: _Place, name: str) -> list[Path]:
    """A session that leads to a directory of somebody else's, with names such as its own."""
    of = place.manifest()
    # it ended: what is acknowledged of it may be deleted
    records = ("trace", trace(of)), ("span", span(1, of.id)), ("close", {"at": segments.AT})
    session = place.session(of, *records)
    target = place.others(f"{Path(name).name}-of-{session.name}")
    for file in ("precious.txt", f"{'b' * 64}.png", _SEGMENT):
        (target / file).write_bytes(SECRET)
    path = session / name if name != layout.TRASH else session.parent / layout.TRASH / session.name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    return [session]


_ANOTHER = 12345  # a user's id
_SEGMENT = layout.segment_name(EPOCH, 0)
_SECOND = layout.segment_name(EPOCH, 1)


def _media(place: _Place, **fields: Any) -> list[Path]:
    of = place.manifest("run")
    record = {"key": "k", "media_type": "image", "mime": "image/png", "step": 1, "caption": None}
    known = {"sha256": "0" * 64, "size": place.outside.stat().st_size, "file": "0" * 64 + ".png"}
    data = {**record, **known, **fields}
    body = {"name": "r", "client_run_id": of.id, "started_at": segments.AT}
    session = place.session(of, ("run", body), ("media", data), ("metrics", metrics(1)))
    (session / "media").mkdir()
    return [session]


def _linked_media(place: _Place, link: Callable[[Path, Path], object]) -> list[Path]:
    from hashlib import sha256

    digest = sha256(place.outside.read_bytes()).hexdigest()
    [session] = _media(place, sha256=digest, file=f"{digest}.png")
    link(place.outside, session / "media" / f"{digest}.png")
    return [session]


def _piped_media(place: _Place) -> list[Path]:
    [session] = _media(place)
    os.mkfifo(session / "media" / f"{'0' * 64}.png")
    return [session]


def _span_with(place: _Place, text: str) -> list[Path]:
    of = place.manifest()
    return [place.session(of, ("trace", trace(of)), ("span", text))]


def _escaped_span() -> dict[str, Any]:
    attributes = {"text": ESCAPES, "tool_input": {ESCAPES: ESCAPES}}
    return {**span(1), "kind": ESCAPES, "name": ESCAPES, "start_at": ESCAPES, "attributes": attributes}


def _run_with(place: _Place, data: dict[str, Any]) -> list[Path]:
    return [place.session(place.manifest("run"), ("metrics", data))]


def _given(theirs: Path, path: Path) -> None:
    """As one that its owner put there, or gave away."""
    path.write_bytes(theirs.read_bytes())
    os.chown(path, _ANOTHER, _ANOTHER)


def _session_given(place: _Place) -> list[Path]:
    """The directory alone: what is in it is not its owner's."""
    session = _run_of_two_segments(place.spool, place.manifest("run", name=SECRET.decode()), SECRET.decode())
    os.chown(session, _ANOTHER, _ANOTHER)
    return [session]


def _spool_given(place: _Place) -> list[Path]:
    os.chown(place.spool, _ANOTHER, _ANOTHER)
    return []


def _device(path: Path) -> None:
    os.mknod(path, 0o20666, os.makedev(1, 5))


def _sparse(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


def _foreign_ids(place: _Place) -> list[Path]:
    """Ids of the server's that somebody else wrote down."""
    session = place.plain()
    for name in ("0" * 16, "../../../outside", "a" * 64):
        try:
            (session / "upload" / name).mkdir(parents=True, exist_ok=True)
            entry = {"kind": "trace", "session": "x", "id": "../../v1/runs"}
            (session / "upload" / name / "ids.jsonl").write_text(json.dumps(entry) + "\n")
            (session / "upload" / name / "journal.jsonl").write_text("[" * 100_000)
        except OSError:
            continue
    return [session]


def _manifest_text(place: _Place, text: str) -> list[Path]:
    session = place.plain()
    (session / layout.MANIFEST).write_text(text)
    return [session]


def _odd_name(place: _Place, name: str) -> list[Path]:
    of = place.manifest(id=name)
    return [place.session(of, ("trace", trace(of)), ("span", span(1, of.id)))]


def _symlinked_session(place: _Place) -> list[Path]:
    session = _run_of_two_segments(place.spool, place.manifest("run", name=SECRET.decode()), SECRET.decode())
    moved = place.outside.with_name(f"moved-{session.name}")
    session.rename(moved)
    session.symlink_to(moved)
    return []


def _deep_header(place: _Place) -> list[Path]:
    of = place.manifest()
    text = json.dumps(header(of, session=None)).replace("null", "[" * _DEEP + "]" * _DEEP)
    return [segments.session(place.spool, of, [line(1, "segment", text, uid=of.uid)])]


_DEEP = 1_000_000
KINDS: dict[str, Kind] = {
    "id with ../": lambda p: _odd_name(p, "../../../../etc/cron.d/x"),
    "absolute id": lambda p: _odd_name(p, "/etc/passwd"),
    "id with escapes": lambda p: _odd_name(p, "x" + ESCAPES),
    "id of one dot": lambda p: _odd_name(p, "."),
    "long id": lambda p: _odd_name(p, "x" * 5000),
    "id with a newline and header": lambda p: _odd_name(p, f"x\r\n{FORGED}\r\n\r\n"),
    "segment is a symlink": lambda p: _elsewhere(p, _symlink),
    "second segment is a symlink": lambda p: _replaced(p, _SECOND, lambda path: path.symlink_to(p.outside)),
    "manifest is a symlink": lambda p: _replaced(p, layout.MANIFEST, lambda path: path.symlink_to(p.outside)),
    "segment is a hard link": lambda p: _elsewhere(p, os.link),
    "manifest is a hard link": lambda p: _replaced(p, layout.MANIFEST, lambda path: os.link(p.outside, path)),
    "second segment is a symlink to another's": lambda p: _anothers(p, (_SECOND,), _symlink),
    "second segment is a hard link to another's": lambda p: _anothers(p, (_SECOND,), os.link),
    "manifest is a symlink to another's": lambda p: _anothers(p, (layout.MANIFEST,), _symlink),
    "manifest is a hard link to another's": lambda p: _anothers(p, (layout.MANIFEST,), os.link),
    "all files are symlinks to another's": lambda p: _anothers(p, (layout.MANIFEST, _SEGMENT, _SECOND), _symlink),
    "segment is a pipe": lambda p: _replaced(p, _SEGMENT, os.mkfifo),
    "manifest is a pipe": lambda p: _replaced(p, layout.MANIFEST, os.mkfifo),
    "segment is a device": lambda p: _replaced(p, _SEGMENT, _device),
    "manifest is a device": lambda p: _replaced(p, layout.MANIFEST, _device),
    "segment is a directory": lambda p: _replaced(p, _SEGMENT, Path.mkdir),
    "manifest is a directory": lambda p: _replaced(p, layout.MANIFEST, Path.mkdir),
    "segment of another owner": lambda p: _elsewhere(p, _given),
    "second segment of another owner": lambda p: _anothers(p, (_SECOND,), _given),
    "manifest of another owner": lambda p: _anothers(p, (layout.MANIFEST,), _given),
    "session of another owner": _session_given,
    "spool of another owner": _spool_given,
    "manifest of 1 GB": lambda p: _replaced(p, layout.MANIFEST, lambda path: _sparse(path, 1 << 30)),
    "segment of 100 MB of NULs": lambda p: _replaced(p, _SECOND, lambda path: _sparse(path, 100 << 20)),
    "session is a symlink": _symlinked_session,
    "upload is a symlink": lambda p: _linked_directory(p, layout.UPLOAD),
    "media directory is a symlink": lambda p: _linked_directory(p, layout.MEDIA),
    "trash of a session is a symlink": lambda p: _linked_directory(p, layout.TRASH),
    "ids of the server's and a deep journal": _foreign_ids,
    "another api_base": lambda p: [p.plain(api_base=p.other)],
    "another api_base, with the fingerprint": lambda p: [p.plain(api_base=p.other, credential=fingerprint(p.key))],
    "another api_base, public": lambda p: [p.plain(api_base=p.other, credential="anon")],
    "api_base with a password": lambda p: [p.plain(api_base=p.other.replace("//", "//user:pass@"))],
    "api_base with the house in its path": lambda p: [p.plain(api_base=f"{p.other}/{p.house}")],
    "api_base that only begins like the house": lambda p: [p.plain(api_base=f"{p.house}@{p.other.partition('//')[2]}")],
    "api_base that is a file": lambda p: [p.plain(api_base="file:///etc/passwd")],
    "api_base that is no text": lambda p: _manifest_text(p, json.dumps({**p.manifest().to_dict(), "api_base": ["x"]})),
    "media name with ../": lambda p: _media(p, file="../../../outside"),
    "media name is absolute": lambda p: _media(p, file=str(p.outside)),
    "media is a symlink": lambda p: _linked_media(p, _symlink),
    "media is a hard link": lambda p: _linked_media(p, os.link),
    "media is a pipe": _piped_media,
    "media size is no number": lambda p: _media(p, size="x", step=None),
    "JSON 10⁶ deep": lambda p: _span_with(p, '{"a":' * _DEEP + "1" + "}" * _DEEP),
    "lists 10⁶ deep": lambda p: _span_with(p, '{"a":' + "[" * _DEEP + "]" * _DEEP + "}"),
    "manifest 10⁶ deep": lambda p: _manifest_text(p, '{"a":' * _DEEP + "1" + "}" * _DEEP),
    "manifest of lists 10⁶ deep": lambda p: _manifest_text(p, "[" * _DEEP),
    "manifest as deep as its size may be": lambda p: _manifest_text(
        p, "[" * (MAX_MANIFEST // 2) + "]" * (MAX_MANIFEST // 2)
    ),
    "segment header of a manifest 10⁶ deep": _deep_header,
    "manifest that is a list": lambda p: _manifest_text(p, "[1]"),
    "manifest of a number for a format": lambda p: _manifest_text(p, '{"format":1e999}'),
    "span that is no JSON": lambda p: _span_with(p, "{nonsense}"),
    "span with a huge number": lambda p: _span_with(p, '{"id":' + "9" * 100_000 + "}"),
    "span of another session": lambda p: _span_with(p, json.dumps(span(1, "somebody-elses"))),
    "span without an id": lambda p: _span_with(p, '{"session_id":null}'),
    "span with escapes": lambda p: _span_with(p, json.dumps(_escaped_span())),
    "metrics with escapes": lambda p: _run_with(p, {**metrics(1, **{ESCAPES: ESCAPES}), "step": ESCAPES}),
    "metrics with a number of escapes": lambda p: _run_with(p, metrics(1, k={"_type": "number", "value": ESCAPES})),
    "project and name with escapes": lambda p: [p.plain(project=ESCAPES, name=ESCAPES, hostname=ESCAPES)],
    "created_at with escapes": lambda p: [p.plain(created_at=ESCAPES)],
    "api_base with escapes": lambda p: [p.plain(api_base=p.other + ESCAPES)],
    "fingerprint with escapes": lambda p: [p.plain(credential=ESCAPES)],
    "machine_id with a header": lambda p: [p.plain(machine_id=f"m\r\n{FORGED}", agent_version="\r\n\r\nGET /")],
}


# files as nobody else can make them
ROOTS = tuple(kind for kind in KINDS if "device" in kind or "another owner" in kind)


def beside(outside: Path) -> dict[str, bytes]:
    """All names where ``outside`` lies, and what the files hold."""
    place = outside.parent
    return {str(one.relative_to(place)): one.read_bytes() if one.is_file() else b"" for one in place.rglob("*")}


def make(kind: str, spool: Path, outside: Path, house: str, other: str, chance: random.Random, key: str) -> list[Path]:
    """Put a session of this kind into the spool; the directories that are worth showing."""
    return KINDS[kind](_Place(spool, outside, house, other, chance, key))
