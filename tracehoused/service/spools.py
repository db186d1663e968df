"""The spools that an agent watches: found by path or pattern, marked as watched, and looked through for what changed."""

from __future__ import annotations

import fcntl
import glob
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tracehouse.spool import durable, layout
from tracehoused.service.ledger import Ledger
from tracehoused.unreadable import why

__all__ = ["UNREADABLE", "Spool", "Spools", "fingerprint", "read_mark", "segments"]

log = logging.getLogger("tracehoused")

UNREADABLE = (0, -1)  # no segment was ever changed then


class Spool:
    """One watched spool. ``problem``: what is wrong with it now. ``marking``: let jobs know that an agent is here."""

    def __init__(self, path: str, state_dir: str, *, marking: bool = True) -> None:
        self.path = path
        self.ledger = Ledger(state_dir, path)
        self.problem = ""
        self._marking = marking
        self._lock_fd = -1

    def open(self) -> None:
        """Let jobs know. OSError when it cannot be used."""
        self.problem = ""
        with os.scandir(self.path):
            os.stat(os.path.join(self.path, os.curdir))  # it can be read, and entered
        if self._marking:
            self._mark()

    def _mark(self) -> None:
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
        except BlockingIOError:
            os.close(fd)  # another agent's, or for a moment that of a job that looks: tried again, for it may end
            return
        except OSError:
            pass  # a file system without locks: the leases decide who uploads what
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
                    except PermissionError:
                        raise  # it is the spool that may not be entered
                    except OSError:
                        yield entry.name, 0  # there, and broken: its pass tells

    def close(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


class Spools(dict[str, Spool]):
    """Those that were found and could be used, by path. ``patterns``: their paths, or patterns of such. ``unusable``: why one cannot be
    used now, by path, be it one of them or not."""

    def __init__(self, patterns: Sequence[str], state_dir: str, *, marking: bool) -> None:
        super().__init__()
        self.unusable: dict[str, str] = {}
        self._patterns = [os.path.abspath(os.path.expanduser(pattern)) for pattern in patterns]
        self._state_dir = state_dir
        self._marking = marking

    def find(self) -> list[str]:
        """Absolute paths: of those named, whether there is one or not, of those matched, and of those that were."""
        found: list[str] = []
        for path in self._patterns:
            matched = glob.has_magic(path)
            found += [match for match in sorted(glob.glob(path)) if os.path.isdir(match)] if matched else [path]
        return list(dict.fromkeys([*found, *self]))

    def open(self, path: str) -> Spool:
        """The spool there; one that is named, not matched, is made where it is missing. OSError when it cannot be used."""
        if path in self._patterns:
            durable.private_dir(path)
        spool = self.get(path) or Spool(path, self._state_dir, marking=self._marking)
        before = spool.problem
        spool.open()
        if path not in self:
            self[path] = spool
            log.info("watching a spool", extra={"spool": path})
        if spool.problem not in ("", before):
            log.warning("%s", spool.problem, extra={"spool": path})
        return spool

    @contextmanager
    def attempt(self, path: str) -> Iterator[None]:
        """One spool's trouble is told of once, and is no other's."""
        try:
            yield
        except OSError as error:
            problem = f"the spool cannot be used: {why(path, error)}"
            if self.unusable.get(path) != problem:
                log.warning("%s", problem, extra={"spool": path})
            self.unusable[path] = problem
            if path in self:
                self[path].problem = problem
        else:
            if self.unusable.pop(path, None):
                log.info("the spool can be used again", extra={"spool": path})


def read_mark(session: str) -> tuple[int, int]:
    """(bytes, newest change in ns) of a session's segments: what changes whenever one of them grows or comes. OSError when it cannot be
    read."""
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


def fingerprint(session: str) -> tuple[int, int]:
    """``read_mark``, or UNREADABLE: that changes once it can be read."""
    try:
        return read_mark(session)
    except OSError:
        return UNREADABLE


def segments(session: str) -> tuple[str, ...]:
    """The epochs that have segments in a session; none when it is gone. OSError when it cannot be read."""
    try:
        names = os.listdir(session)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted({parsed.epoch for name in names if (parsed := layout.parse_segment_name(name))}))
