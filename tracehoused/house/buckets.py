"""Media in a bucket of S3 or of what speaks like it, by their SHA-256: `<prefix>/<first two>/<sha256>`, as in a directory.

A medium is written by one request, which stores it wholly or not at all, and is stored when that is answered. Keys, region
and endpoint come from the environment, as for every program that uses S3 (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, a
profile, a role…).
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
import time
from asyncio import TimeoutError as NoAnswer
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Any

from aiohttp import ClientError as NoConnection
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.core import url_to_fs
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tracehoused.house.blobs import IDLE_S, MOST_BYTES
from tracehoused.house.errors import StorageFailure, too_large

_ERRORS = (OSError, BotoCoreError, ClientError, NoConnection, NoAnswer)
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_PART = 1024 * 1024
_AT_ONCE = 16
# As many media are held in memory as a whole.
_WHOLE = 4


class Incoming:
    """A medium on its way in, in memory or a file of this machine's until all of it is here."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_PART)  # noqa: SIM115 - closed by keep and discard
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._bucket.limit:
            raise too_large(self._bucket.limit)
        self._hash.update(data)
        self._file.write(data)

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def keep(self) -> tuple[str, int]:
        sha256 = self.sha256()
        self._file.seek(0)
        self._bucket.put(sha256, self._file)
        self._file.close()
        return sha256, self._size

    def discard(self) -> None:
        self._file.close()


class Bucket:
    """What is at `url`, e.g. `s3://bucket/prefix`. Raises StorageFailure where it cannot be reached."""

    def __init__(self, url: str, limit: int = MOST_BYTES) -> None:
        self.limit = limit
        patience = {"connect_timeout": 10, "read_timeout": 60}
        with _told():
            # What other houses write must be seen at once.
            self._fs, self._root = url_to_fs(
                url, skip_instance_cache=True, use_listings_cache=False, config_kwargs=patience
            )
            self._fs.call_s3("head_bucket", Bucket=self._root.partition("/")[0])
        self._whole = threading.BoundedSemaphore(_WHOLE)

    def begin(self) -> Incoming:
        return Incoming(self)

    def put(self, sha256: str, file: IO[bytes]) -> None:
        # Also what is there already: its time tells `forget` that somebody may be about to name it.
        with self._whole, _told():
            self._fs.pipe_file(self._path(sha256), file.read())

    def missing(self, hashes: Sequence[str]) -> set[str]:
        with _told(), ThreadPoolExecutor(_AT_ONCE) as threads:
            there = list(threads.map(self._fs.exists, map(self._path, hashes)))
        return {sha256 for sha256, found in zip(hashes, there, strict=True) if not found}

    def forget(self, sha256: str) -> bool:
        path = self._path(sha256)
        with _told():
            try:
                if time.time() - self._fs.info(path)["LastModified"].timestamp() < IDLE_S:
                    return False
                self._fs.rm_file(path)
            except FileNotFoundError:
                pass  # another house was quicker
        return True

    def used(self) -> None:
        return None

    def free(self) -> None:
        return None

    def is_lost(self, _sha256: str) -> bool:
        return False

    def answer(self, request: Request, found: dict[str, Any], headers: dict[str, str]) -> Response | None:
        path, size = self._path(found["sha256"]), int(found["size"])
        etag = f'"{found["sha256"]}"'
        headers = {**headers, "Accept-Ranges": "bytes", "ETag": etag}
        wanted = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
        part = _range(wanted, size)
        first, end = part or (0, size)
        if first >= end and part:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        with _told():
            try:
                begin = self._part(path, first, end)
            except FileNotFoundError:
                return None
        headers["Content-Length"] = str(end - first)
        if part:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        parts = self._parts(path, begin, first, end if request.method != "HEAD" else first)
        return StreamingResponse(parts, 206 if part else 200, headers, found["mime"])

    async def _parts(self, path: str, begin: bytes, first: int, end: int) -> AsyncIterator[bytes]:
        while begin and first < end:
            yield begin
            first += len(begin)
            if first < end:
                begin = await run_in_threadpool(self._part, path, first, end)

    def _part(self, path: str, first: int, end: int) -> bytes:
        return bytes(self._fs.cat_file(path, start=first, end=min(end, first + _PART))) if first < end else b""

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """(first, end) of the one part that is asked for, empty where there is no such part; None where all is wanted."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return max(0, size - int(match[2])), size
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    return first, min(size, int(match[2]) + 1) if match[2] else size


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise StorageFailure(f"the media cannot be reached: {error}") from error
