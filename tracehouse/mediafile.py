"""Media as files: the user's, read with a bound; ours, named by their content. Whoever keeps them syncs them."""

from __future__ import annotations

import os
import stat

from tracehouse import ids, mime
from tracehouse.exceptions import MediaError, MediaTooLarge, MediaUnreadable
from tracehouse.spool import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, NamedTuple

    class Spooled(NamedTuple):
        """A file under ``media/``: SHA-256 in hex, size in bytes, name, MIME type."""

        sha256: str
        size: int
        file: str
        mime: str

else:
    from collections import namedtuple

    Spooled = namedtuple("Spooled", "sha256 size file mime")

MAX_BYTES = 25 * 1024 * 1024
AT_ONCE = 1024 * 1024


def check_size(what: str, size: int) -> None:
    if size > MAX_BYTES:
        raise MediaTooLarge(what, size, MAX_BYTES)


def pieces(path: str, at_once: int = AT_ONCE) -> Generator[bytes, None, None]:
    """The user's file, piece by piece. Its size is looked at first, and again as it may grow meanwhile."""
    try:
        # a named pipe must not make the job wait
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    try:
        yield from _read_pieces(fd, path, at_once)
    except MediaError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(fd)


def _read_pieces(fd: int, path: str, at_once: int) -> Generator[bytes, None, None]:
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(22, "not a regular file")
    check_size(path, found.st_size)
    size = 0
    while piece := os.read(fd, at_once):
        size += len(piece)
        check_size(path, size)
        yield piece


def _unreadable(path: str, error: OSError | ValueError) -> MediaUnreadable:
    if isinstance(error, OSError):
        return MediaUnreadable(error.errno or 0, error.strerror or str(error), path)
    return MediaUnreadable(22, str(error), path)


def read(file: Any) -> bytes:
    """All of an open file, from its beginning where that can be had; its position stays."""
    position = file.tell() if hasattr(file, "seekable") and file.seekable() else None
    try:
        if position is not None:
            file.seek(0)
        data = file.read(MAX_BYTES + 1)
    finally:
        if position is not None:
            file.seek(position)
    if isinstance(data, str):
        data = data.encode("utf-8", "backslashreplace")
    check_size(f"the open file {getattr(file, 'name', '')!r}", len(data))
    return bytes(data)


def head(path: str, size: int) -> bytes:
    """The first bytes of the user's file."""
    found = pieces(path, size)
    try:
        return next(found, b"")
    finally:
        found.close()


def store(data: bytes, directory: str, kind: str) -> Spooled:
    """Data of MIME type `kind` as a file in the directory; one that is there already is left as it is."""
    from hashlib import sha256

    spooled = _named(sha256(data).hexdigest(), len(data), kind)
    if _is_whole(os.path.join(directory, spooled.file), spooled):
        return spooled
    durable.private_dir(directory)
    aside = os.path.join(directory, f"{ids.hex_id(16)}.tmp")
    durable.create(aside, data, durable=False)
    return _publish(aside, directory, spooled)


def copy(path: str, directory: str, kind: str) -> Spooled:
    """The user's file likewise, in bounded memory; named by what was copied, should it change meanwhile."""
    from hashlib import sha256

    durable.private_dir(directory)
    aside = os.path.join(directory, f"{ids.hex_id(16)}.tmp")
    digest, size = sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = durable.clear_of_streams(os.open(aside, flags, durable.FILE_MODE))
    try:
        for piece in pieces(path):
            digest.update(piece)
            size += len(piece)
            durable.write_all(fd, piece)
        return _publish(aside, directory, _named(digest.hexdigest(), size, kind))
    except BaseException:
        _unlink(aside)
        raise
    finally:
        os.close(fd)


def _named(digest: str, size: int, kind: str) -> Spooled:
    return Spooled(digest, size, f"{digest}.{mime.suffix_of(kind)}", kind)


def _publish(aside: str, directory: str, spooled: Spooled) -> Spooled:
    target = os.path.join(directory, spooled.file)
    if _is_whole(target, spooled):
        _unlink(aside)
    else:
        durable.move(aside, target, durable=False)
    return spooled


def _is_whole(path: str, spooled: Spooled) -> bool:
    """Whether it is there already; one that a power failure has cut short, or left of zeros, is not."""
    from hashlib import sha256

    digest = sha256()
    try:
        if os.lstat(path).st_size != spooled.size:
            return False
        for piece in pieces(path):
            digest.update(piece)
    except (FileNotFoundError, MediaError):
        return False
    return digest.hexdigest() == spooled.sha256


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # it was moved to its name already
