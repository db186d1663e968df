"""Where an export goes: a file that appears when it is whole, or standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tracehouse.spool import durable

__all__ = ["published", "write_parts"]

_WRITE = 1 << 20


@contextmanager
def published(path: str) -> Iterator[str]:
    """A name beside ``path`` to write to: it takes the place of ``path`` when the block ends well, else it is removed."""
    aside = f"{path}.{os.getpid()}.part"
    try:
        yield aside
        durable.move(aside, path, durable=False)
    except BaseException:
        if os.path.exists(aside):
            os.unlink(aside)
        raise


def write_parts(path: str | None, parts: Iterable[bytes]) -> None:
    """All parts to a file, or to standard output where ``path`` is None or "-"."""
    if path is None or path == "-":
        sys.stdout.buffer.writelines(parts)
        sys.stdout.buffer.flush()
        return
    with published(path) as aside, open(aside, "wb", buffering=_WRITE) as file:
        file.writelines(parts)
