"""What jobs leave free on the disk of their spool: an agent that has no room for a note can neither send nor delete.

A disk that they had filled to its last byte while no server could be reached would stay full for ever. To them it is full while a little is
left: a 32nd, and no more than 32 MiB and a thousand files. What is looked at is looked at once a second, and before each segment and file.
"""

from __future__ import annotations

import errno
import os

_SHARE = 32
_MOST_BYTES = 32 << 20
_MOST_FILES = 1000


def check(root: str, *, at_end: bool = False) -> None:
    """OSError (ENOSPC) where no more is left than that; ``at_end``: of the process, whose last words may take half of it."""
    try:
        disk = os.statvfs(root)
    except (AttributeError, OSError):  # Windows has none; what has no such numbers sets no bounds
        return
    # what a file system keeps for root is root's to use
    is_root = os.geteuid() == 0
    _compare(
        root, disk.f_bfree if is_root else disk.f_bavail, disk.f_blocks, _MOST_BYTES // (disk.f_frsize or 1), at_end
    )
    _compare(root, disk.f_ffree if is_root else disk.f_favail, disk.f_files, _MOST_FILES, at_end)


def _compare(root: str, free: int, of: int, most: int, at_end: bool) -> None:
    if free < min(most, of // _SHARE) // (2 if at_end else 1):
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} but for the little that the agent needs", root)
