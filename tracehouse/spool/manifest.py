"""The manifest of a session: who it is and where it is to go. Published once; the first one wins."""

from __future__ import annotations

import os
import time

from tracehouse.spool import FORMAT, durable, layout
from tracehouse.values import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

MAX_MANIFEST = 64 * 1024
_WRITING_SECONDS = 10.0

_TEXTS = ("uid", "kind", "id", "machine_id", "hostname", "api_base", "created_at", "epoch")
_OPTIONAL_TEXTS = ("credential", "project", "name", "agent_version", "version")


class FormatError(ValueError):
    """A manifest or segment that this version cannot read: ``path``, ``found`` (its format), and what to do."""

    def __init__(self, path: str, found: object) -> None:
        self.path = path
        self.found = found
        super().__init__(
            f"{path} is of spool format {found!r}; this version reads format {FORMAT}: upgrade tracehouse-sdk to read it"
        )


class Manifest:
    """Fields as in the format's specification; ``credential`` is a key's fingerprint, "anon", or None."""

    __slots__ = (*_TEXTS, *_OPTIONAL_TEXTS)
    uid: str
    kind: str
    id: str
    machine_id: str
    hostname: str
    api_base: str
    created_at: str
    epoch: str
    credential: str | None
    project: str | None
    name: str | None
    agent_version: str | None
    version: str | None

    def __init__(self, fields: dict[str, Any]) -> None:
        """From decoded JSON: FormatError for a newer format, ValueError for what is no manifest."""
        if fields.get("format") != FORMAT:
            raise FormatError(layout.MANIFEST, fields.get("format"))
        for name in _TEXTS:
            if not isinstance(fields.get(name), str):
                raise ValueError(f"manifest without {name}: {fields.get(name)!r}")
            setattr(self, name, fields[name])
        for name in _OPTIONAL_TEXTS:
            value = fields.get(name)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"manifest whose {name} is not text: {value!r}")
            setattr(self, name, value)
        if self.kind not in layout.KINDS:
            raise ValueError(f"manifest of an unknown kind: {self.kind!r}")

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **{name: getattr(self, name) for name in self.__slots__}}

    def to_json(self) -> bytes:
        """The file's content."""
        return encode(self.to_dict()).encode("utf-8", "backslashreplace")


def decode(raw: bytes, path: str = layout.MANIFEST) -> Manifest:
    """Manifest of a file's content; ValueError (FormatError for a newer format) names ``path``."""
    import json

    try:
        fields = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a manifest: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path} is not a manifest: {type(fields).__name__}")
    if fields.get("format") != FORMAT and isinstance(fields.get("format"), int):
        raise FormatError(path, fields["format"])
    return Manifest(fields)


def read(session_dir: str) -> Manifest:
    """The manifest of a session of this user's own spool. OSError or ValueError when there is none to be read."""
    path = os.path.join(session_dir, layout.MANIFEST)
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        raw = os.read(fd, MAX_MANIFEST + 1)
    finally:
        os.close(fd)
    if len(raw) > MAX_MANIFEST:
        raise ValueError(f"{path} is larger than any manifest ({MAX_MANIFEST} bytes)")
    return decode(raw, path)


def publish(session_dir: str, ours: Manifest, retold: Callable[[str], Manifest | None]) -> Manifest:
    """Make ``ours`` the session's manifest unless there is one, and return the one that holds.

    One that is gone, or cannot be read (a power failure can leave it empty), is had from the segments, by ``retold``: under another uid
    what they hold would be damage. A newer format's is left: FormatError; so is one that someone may be writing now: ValueError.
    """
    path = os.path.join(session_dir, layout.MANIFEST)
    failure: ValueError | None = None
    try:
        return read(session_dir)
    except FileNotFoundError:
        pass
    except FormatError:
        raise
    except ValueError as error:
        failure = error
    told = retold(session_dir)
    holding = told if told is not None and (told.kind, told.id) == (ours.kind, ours.id) else ours
    if failure is None:
        if not durable.publish_once(path, holding.to_json(), ours.uid):
            return read(session_dir)
        return holding
    if holding is ours and _is_young(path):
        raise failure
    durable.replace(path, holding.to_json(), ours.uid)
    return holding


def _is_young(path: str) -> bool:
    """Where there are no hard links a manifest is there before its content is."""
    return abs(time.time() - os.stat(path).st_mtime) < _WRITING_SECONDS
