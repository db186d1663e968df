"""Media files by their SHA-256: written aside, synced, renamed; the same bytes are kept once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from tracehouse.spool import durable
from tracehoused.house.directories import make_lasting
from tracehoused.house.errors import too_large

Object = dict[str, Any]
MOST_BYTES = 25 * 1024 * 1024

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Between a file's arrival and the row that names it lie moments; a file so old is on its way into no run.
IDLE_S = 900.0


@dataclass
class Incoming:
    """A blob on its way in. `add` as bytes arrive, then `keep` or `discard`."""

    blobs: Blobs
    path: Path
    file: BinaryIO
    size: int = 0
    hash: Any = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.blobs.limit:
            raise too_large(self.blobs.limit)
        self.hash.update(data)
        self.file.write(data)

    def sha256(self) -> str:
        return str(self.hash.hexdigest())

    def keep(self) -> tuple[str, int]:
        """(sha256, size); the bytes and their name are durable when this returns."""
        sha256 = self.sha256()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.blobs.place(self.path, sha256)
        return sha256, self.size

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        try:
            self.file.close()
        except OSError:
            pass  # what could not be written is not wanted any more


class Blobs:
    """Blobs below `root`, each at most `limit` bytes."""

    def __init__(self, root: Path, limit: int = MOST_BYTES) -> None:
        self.root = root
        self.limit = limit
        self._incoming = root / "incoming"
        make_lasting(root)
        self._incoming.mkdir(exist_ok=True, mode=0o700)
        self._lasting: set[str] = set()  # directories whose own names are durable; none of them is ever removed
        for left in self._incoming.iterdir():
            _unlink_left(left)

    def begin(self) -> Incoming:
        path = self._incoming / secrets.token_hex(16)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return Incoming(self, path, os.fdopen(descriptor, "wb"))

    def place(self, source: Path, sha256: str) -> None:
        """Also over what is there already, as nobody knows whether that is whole still. Its time tells `forget` that somebody may be
        about to name it."""
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        os.replace(source, target)
        durable.sync_dir(str(target.parent))
        if target.parent.name not in self._lasting:
            durable.sync_dir(str(self.root))
            self._lasting.add(target.parent.name)

    def path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"not a SHA-256: {sha256!r}")
        return self.root / sha256[:2] / sha256

    def forget(self, sha256: str) -> bool:
        """Remove a blob that no run shows; False where somebody has sent it again lately, who may be about to name it."""
        path = self.path(sha256)
        try:
            if time.time() - path.stat().st_mtime < IDLE_S:
                return False
            path.unlink()
        except FileNotFoundError:
            return True
        return True

    def used(self) -> tuple[int, int]:
        """(bytes, files) of what is kept."""
        size = files = 0
        for folder in self.root.glob("[0-9a-f][0-9a-f]"):
            for entry in os.scandir(folder):
                with suppress(FileNotFoundError):  # forgotten meanwhile
                    size += entry.stat().st_size
                    files += 1
        return size, files

    def free(self) -> int:
        """Bytes of room on the disk."""
        return shutil.disk_usage(self.root).free

    def missing(self, hashes: Sequence[str]) -> set[str]:
        """Those of these SHA-256 that are not kept."""
        return {sha256 for sha256 in hashes if not self.path(sha256).is_file()}

    def is_lost(self, sha256: str) -> bool:
        return not self.path(sha256).is_file()

    def answer(self, _request: Request, found: Object, headers: dict[str, str]) -> Response | None:
        """The blob of a medium, or the part of it that is asked for; None where it is not kept."""
        path = self.path(found["sha256"])
        return FileResponse(path, headers=headers, media_type=found["mime"]) if path.is_file() else None


def _unlink_left(path: Path) -> None:
    """Remove what a house left when it was killed; what another one is writing just now is locked by it."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return  # it was locked, or has arrived
