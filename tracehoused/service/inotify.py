"""Linux's file events, as the kernel gives them: one descriptor for all watches, no thread, no timer.

watchdog keeps two threads and a descriptor for each watch on Linux; of descriptors a user has 128 in all by default.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator

__all__ = [
    "ATTRIB",
    "CLOSE_WRITE",
    "CREATE",
    "DELETE",
    "GONE",
    "IS_DIR",
    "MODIFY",
    "MOVED_TO",
    "OVERFLOW",
    "Inotify",
]

MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
OVERFLOW = 0x4000
GONE = 0x8000  # the watch ended: what it was on was removed or unmounted
IS_DIR = 0x40000000

_ONLY_DIR, _DONT_FOLLOW = 0x01000000, 0x02000000
_HEAD = struct.Struct("iIII")
_READ = 64 * 1024


class Inotify:
    """OSError where the system has none, or the user's share of it is used up."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(38, "no inotify on this system")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify_init1")

    def add(self, path: str, mask: int) -> int:
        """Watch a directory (no link); the number that its events will bear."""
        name = os.fsencode(path)
        return self._checked(self._libc.inotify_add_watch(self.fd, name, mask | _ONLY_DIR | _DONT_FOLLOW), path)

    def remove(self, watch: int) -> None:
        # it fails only for a watch that has ended by itself
        self._libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> Iterator[tuple[int, int, str]]:
        """(watch, mask, name) of what has happened since; nothing when nothing has."""
        while True:
            try:
                data = os.read(self.fd, _READ)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                yield watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
                at += length
            if len(data) < _READ // 2:
                return

    def close(self) -> None:
        os.close(self.fd)

    def _checked(self, result: int, what: str) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)
        return result
