"""The spools that an agent watches: found by path or pattern, marked as watched, and looked through for what changed."""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Iterator, Sequence

from tracehouse.spool import durable, layout
from tracehoused.service.ledger import Ledger

__all__ = ["Spool", "expand", "fingerprint", "segments"]


def expand(patterns: Sequence[str]) -> list[str]:
    """Absolute paths of spools; one that is named, not matched, is made where it is missing."""
    found: list[str] = []
    for pattern in patterns:
        path = os.path.abspath(os.path.expanduser(pattern))
        if glob.has_magic(path):
            found += [match for match in sorted(glob.glob(path)) if os.path.isdir(match)]
        else:
            durable.private_dir(path)
            found.append(path)
    return list(dict.fromkeys(found))


class Spool:
    """One watched spool. OSError when it cannot be used. ``marking``: let jobs know that an agent is here."""

    def __init__(self, path: str, state_dir: str, *, marking: bool = True) -> None:
        self.path = path
        self.ledger = Ledger(state_dir, path)
        self.problem = ""
        self._marking = marking
        self._lock_fd = -1
        self.mark()

    def mark(self) -> None:
        """Tell jobs that an agent is here."""
        if not self._marking:
            return
        path = os.path.join(self.path, layout.AGENT_LOCK)
        try:
            if self._lock_fd >= 0 and os.path.exists(path):
                return
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, durable.FILE_MODE)
        except OSError as error:
            self.problem = f"cannot write there ({error.strerror}): no lease, no acknowledgement can be kept in it"
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # another agent's, or a file system without locks: the leases decide who uploads what
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._lock_fd = fd

    def sessions(self) -> Iterator[tuple[str, int]]:
        """(name, mtime in ns) of each session's directory."""
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name[0] != "." and layout.is_session_dir(entry.name):
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            yield entry.name, entry.stat(follow_symlinks=False).st_mtime_ns
                    except FileNotFoundError:
                        continue  # removed meanwhile

    def close(self) -> None:
        self.ledger.save()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def fingerprint(session: str) -> tuple[int, int]:
    """(bytes, newest change in ns) of a session's segments: what changes whenever one of them grows or comes."""
    size = newest = 0
    try:
        with os.scandir(session) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl"):
                    found = entry.stat(follow_symlinks=False)
                    size += found.st_size
                    newest = max(newest, found.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return size, newest


def segments(session: str) -> tuple[str, ...]:
    """The epochs that have segments in a session; none when it is gone."""
    try:
        names = os.listdir(session)
    except OSError:
        return ()
    return tuple(sorted({parsed.epoch for name in names if (parsed := layout.parse_segment_name(name))}))
