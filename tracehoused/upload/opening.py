"""What is opened in a spool: regular files, in directories of its own. A link may lead anywhere, and a pipe holds up who reads it."""

from __future__ import annotations

import os
import stat

from tracehouse.exceptions import SpoolError

__all__ = ["check_dir", "open_checked", "read_file", "stamp"]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def check_dir(path: str) -> bool:
    """Whether there is such a directory; SpoolError for anything else there, links to one too: what is written or deleted in it would be
    somewhere else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        return True
    raise SpoolError(
        f"left alone, {'a link' if stat.S_ISLNK(mode) else 'a file'} where a directory should be", path=path
    )


def open_checked(path: str, *, links: int = 1) -> int:
    """A descriptor of a regular file of its directory's owner with that many links; SpoolError for anything else."""
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise SpoolError(f"cannot open it ({error.strerror})", path=path) from error
    found = os.fstat(fd)
    wrong = ""
    if not stat.S_ISREG(found.st_mode):
        wrong = "not a regular file"
    elif found.st_uid != os.stat(os.path.dirname(path)).st_uid:
        wrong = f"owned by uid {found.st_uid}, not by its directory's owner"
    elif found.st_nlink != links:
        wrong = f"it has {found.st_nlink} links"
    if wrong:
        os.close(fd)
        raise SpoolError(f"left alone, {wrong}", path=path)
    return fd


def stamp(path: str) -> tuple[int, int, int] | None:
    """What changes when a file does: inode, bytes, mtime in ns; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_file(path: str, most: int, *, links: int = 1) -> bytes:
    """A whole small file; SpoolError when it is larger than ``most`` bytes."""
    fd = open_checked(path, links=links)
    try:
        size = os.fstat(fd).st_size
        if size > most:
            raise SpoolError(f"left alone, {size} bytes where {most} are the most", path=path)
        return os.pread(fd, most, 0)
    finally:
        os.close(fd)
