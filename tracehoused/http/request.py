"""One request to be sent, as a value; what is built here is what a retry sends again, byte for byte. Pure but for FileBody.open."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256 as digest
from typing import Callable
from urllib.parse import quote

from tracehoused.exceptions import BodyError

__all__ = ["FileBody", "Request", "Upload", "api_path"]

_READ = 512 * 1024


@dataclass(frozen=True)
class FileBody:
    """The bytes of a regular file, streamed from disk; ``size`` is what it must hold.

    ``opener`` returns a file descriptor that this takes over, for a caller with checks of its own; ``path`` then only names it.
    ``sha256``: what the bytes must have, in hex; any others are never sent to the end, or refused by a server that checks them.
    """

    path: str
    size: int
    opener: Callable[[], int] | None = None
    sha256: str | None = None

    def open(self) -> int:
        """A file descriptor for reading. BodyError where there is no regular file of that size; no link is followed."""
        try:
            fd = self.opener() if self.opener else os.open(self.path, _FLAGS)
        except OSError as error:
            raise BodyError(f"cannot open {self.path}: {error.strerror}", path=self.path) from error
        found = os.fstat(fd)
        wrong = ""
        if not stat.S_ISREG(found.st_mode):
            wrong = "it is not a regular file"
        elif found.st_size != self.size:
            wrong = f"it has {found.st_size} bytes, its record says {self.size}"
        if wrong:
            os.close(fd)
            raise BodyError(f"cannot send {self.path}: {wrong}", path=self.path)
        return fd

    def read(self, fd: int, *, check: bool = True) -> Iterator[bytes]:
        """Exactly ``size`` bytes from ``fd``, in parts; closes it. BodyError, before the last, when they cannot be had, or are not those
        of ``sha256``, where that is to be ``check``ed here."""
        left, found = self.size, digest()
        try:
            while left:
                part = os.read(fd, min(left, _READ))
                if not part:
                    raise BodyError(f"{self.path} became shorter while it was sent", path=self.path)
                left -= len(part)
                if check and self.sha256 is not None:
                    found.update(part)
                    if not left and found.hexdigest() != self.sha256:
                        raise BodyError(f"{self.path} does not hold what it should", path=self.path)
                yield part
        except OSError as error:
            raise BodyError(f"cannot read {self.path}: {error.strerror}", path=self.path) from error
        finally:
            os.close(fd)


_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True)
class Request:
    """``path`` is percent-encoded (see ``api_path``) and below the api_base; ``query`` is not encoded yet.

    ``key``, ``range``, ``attempt`` and ``after`` become Idempotency-Key, X-Tracehouse-Range, X-Tracehouse-Attempt and
    X-Tracehouse-After: the key of a request without whose effect this one is to have none.
    ``expect`` is what a 2xx must bring to count: see ``retry.judge``. ``headers`` go with it besides those of the client.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | FileBody | None = None
    content_type: str = "application/json"
    key: str | None = None
    range: str | None = None
    attempt: int | None = None
    after: str | None = None
    expect: str = "object"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the body."""
        if self.body is None:
            return 0
        return self.body.size if isinstance(self.body, FileBody) else len(self.body)


def api_path(*segments: str) -> str:
    """``/a/b/c`` of segments that may hold anything: a server's id never becomes two segments, or ``..``."""
    return "".join("/" + _segment(segment) for segment in segments)


def _segment(text: str) -> str:
    if text in (".", ".."):
        return text.replace(".", "%2E")
    return quote(text, safe="", errors="surrogatepass")


class Upload:
    """A file, opened before anything is sent, so that a bad one costs no connection. ``check``: as of ``FileBody.read``."""

    def __init__(self, body: FileBody, *, check: bool = True) -> None:
        self._body = body
        self._check = check
        self._fd: int | None = body.open()

    def __iter__(self) -> Iterator[bytes]:
        fd, self._fd = self._fd, None
        if fd is not None:
            yield from self._body.read(fd, check=self._check)

    def close(self) -> None:
        """Of use only where nothing was read."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
