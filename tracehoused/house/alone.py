"""One house to a data directory: two on one SQLite file would each believe what only one of them has in memory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "house.lock"


class DataInUse(Exception):
    """Another house runs on this directory."""


@contextmanager
def alone_on(data: Path) -> Iterator[None]:
    """Hold a directory that exists; DataInUse where another process does. It is free again when its holder ends, however that is."""
    fd = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            raise DataInUse(f"another house runs on {data}" + f" (process {holder})" * bool(holder)) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode("ascii"), 0)
        yield
    finally:
        os.close(fd)
