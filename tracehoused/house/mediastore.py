"""Where media are kept: a directory (`blobs`) or a bucket (`buckets`), by URL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.blobs import Blobs

__all__ = ["Arriving", "Media", "MediaError", "open_media"]

_BUCKETS = ("s3", "s3a")


class MediaError(Exception):
    """No media can be kept at this address."""


class Arriving(Protocol):
    """A medium on its way in: `add` as bytes arrive, then `keep` or `discard`."""

    def add(self, data: bytes) -> None:
        """Refusal 413 beyond the limit."""

    def sha256(self) -> str:
        """Of what has arrived."""

    def keep(self) -> tuple[str, int]:
        """(sha256, size), durable from now on."""

    def discard(self) -> None: ...


class Media(Protocol):
    """Media by their SHA-256; `limit`: the most bytes of one. OSError or StorageFailure where they cannot be reached."""

    limit: int

    def begin(self) -> Arriving: ...

    def missing(self, hashes: Sequence[str]) -> set[str]:
        """Those of these that are not kept."""

    def is_lost(self, sha256: str) -> bool:
        """Whether it is seen at once, without asking anybody, that one is not kept."""

    def answer(self, request: Request, found: dict[str, Any], headers: dict[str, str]) -> Response | None:
        """The bytes of a medium, or the part that is asked for; None where it is not kept."""

    def forget(self, sha256: str) -> bool:
        """Remove what no run shows; False where it was sent again lately."""

    def used(self) -> tuple[int, int] | None:
        """(bytes, files), where counting them costs little."""

    def free(self) -> int | None:
        """Bytes of room, where there is a bound."""


def open_media(url: str | None, default: Path) -> Media:
    """What `url` names: `s3://bucket/prefix`, `file:///directory`; None: the directory `default`. Raises MediaError."""
    if url is None:
        return Blobs(default)
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return Blobs(Path(unquote(parts.path)))
    if parts.scheme not in _BUCKETS or not parts.netloc:
        raise MediaError("media are kept at s3://bucket/prefix or file:///directory")
    try:
        from tracehoused.house.buckets import Bucket
    except ImportError as error:
        raise MediaError(f"{error}: python3 -m pip install 'tracehouse-sdk[s3]'") from None
    return Bucket(url)
