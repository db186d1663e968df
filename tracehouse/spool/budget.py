"""A spool's budget as a job keeps it. How much lies there is looked at by the background thread, never by a call that logs.

``TRACEHOUSE_SPOOL_MAX_BYTES`` (such as 20G) and ``TRACEHOUSE_SPOOL_MAX_FILES`` (files and directories) are for all that lies in the
spool. The agent deletes what is acknowledged first. Where that is not enough, ``TRACEHOUSE_SPOOL_FULL`` decides: ``keep`` (the default)
goes on writing and warns once a minute; with ``drop`` a spool over its budget is to its jobs as a full disk: records wait in memory,
then are dropped, counted and told, and what waits at the end of a process is still written.
``<spool>/.full`` is touched while a spool is over its budget: it makes the agent look at once, and tells jobs that start.
"""

from __future__ import annotations

import errno
import os
import time

from tracehouse.exceptions import ArgumentError
from tracehouse.spool import layout, liveness, sizes
from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BYTES = "TRACEHOUSE_SPOOL_MAX_BYTES"
FILES = "TRACEHOUSE_SPOOL_MAX_FILES"
FULL = "TRACEHOUSE_SPOOL_FULL"
_KEEP, _DROP = "keep", "drop"
_EVERY = 2.0
_SHARE = 50  # looking takes at most this part of a core
_WARN_EVERY = 60.0


class Budget:
    """``is_full``: records are to be refused. ``over``: by how much the spool is over its budget, in words; "" when it is not."""

    def __init__(self, root: str, most_bytes: int | None, most_files: int | None, dropping: bool) -> None:
        self.most_bytes = most_bytes
        self.most_files = most_files
        self.over = ""
        self.is_full = False
        self._root = root
        self._dropping = dropping
        self._due = self._told_at = -_WARN_EVERY
        self._marker = os.path.join(root, layout.FULL)
        if dropping and _age(self._marker) < 2 * _WARN_EVERY:
            self._refuse("it was found over its budget lately")

    def look(self, now: float) -> bool:
        """Whether ``is_full`` has changed; ``now`` is monotonic. Cheap until it is time to look again."""
        if now < self._due:
            return False
        size, files = measure(self._root)
        self._due = now + max(_EVERY, (time.monotonic() - now) * _SHARE)
        # an agent that watches has until the next look to make room
        had_time = bool(self.over) or not liveness.is_locked(os.path.join(self._root, layout.AGENT_LOCK))
        before, was_over, self.over = self.is_full, bool(self.over), self._excess(size, files)
        self.is_full = bool(self.over) and self._dropping and (before or had_time)
        if self.over:
            self._tell(now)
        elif was_over:
            _unlink(self._marker)
        return self.is_full != before

    def check(self) -> None:
        """OSError (EDQUOT) when records are to be refused."""
        if self.is_full:
            raise OSError(errno.EDQUOT, f"{self.over} ({FULL}={_DROP})", self._root)

    def _refuse(self, over: str) -> None:
        self.over, self.is_full = over, True

    def _excess(self, size: int, files: int) -> str:
        if self.most_bytes is not None and size > self.most_bytes:
            return f"{size:,} bytes are over its budget of {self.most_bytes:,}"
        if self.most_files is not None and files > self.most_files:
            return f"{files:,} files and directories are over its budget of {self.most_files:,}"
        return ""

    def _tell(self, now: float) -> None:
        if now - self._told_at < _WARN_EVERY:
            return
        self._told_at = now
        _touch(self._marker)
        if not self._dropping:
            say(
                "warning",
                "the spool %s: %s, and nothing in it may be deleted yet. Records are written all the same; "
                "upload it (tracehouse sync, tracehouse prune), or set %s=%s",
                self._root,
                self.over,
                FULL,
                _DROP,
            )


def of(root: str, environ: Mapping[str, str]) -> Budget | None:
    """The budget that the environment sets, None when it sets none. ArgumentError for one that makes no sense."""
    policy = environ.get(FULL) or _KEEP
    if policy not in (_KEEP, _DROP):
        raise ArgumentError(f"{FULL} must be {_KEEP} or {_DROP}, got {policy!r}")
    most_bytes, most_files = _told(environ, BYTES), _told(environ, FILES)
    if most_bytes is None and most_files is None:
        return None
    return Budget(root, most_bytes, most_files, policy == _DROP)


def measure(root: str) -> tuple[int, int]:
    """(bytes, files and directories) in a spool; what vanishes meanwhile counts nothing."""
    size = files = 0
    places = [root]
    while places:
        try:
            with os.scandir(places.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        places.append(entry.path)
                    else:
                        size += _size(entry)
        except OSError:
            continue
    return size, files


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _told(environ: Mapping[str, str], name: str) -> int | None:
    if not environ.get(name):
        return None
    try:
        return sizes.parse(environ[name])
    except ValueError as error:
        raise ArgumentError(f"{name}={environ[name]!r} {error}") from None


def _age(path: str) -> float:
    """Seconds since a file was touched; a clock that was set means a needless look at most."""
    try:
        return abs(time.time() - os.stat(path).st_mtime)
    except OSError:
        return float("inf")


def _touch(path: str) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        os.utime(path)
    except OSError:
        pass  # no agent is told sooner, and no job that starts


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # another job's, or gone
