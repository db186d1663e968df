"""File events as hints that a session may have something new. They may be missed: the agent's rescan finds everything anyway.

On Linux each spool has two watches (its sessions coming, its writers ending) and many live sessions one each, all on one
descriptor. A new segment touches its session's directory, so that a session without a watch gives a hint then too.
Elsewhere (macOS) watchdog's observer watches each spool as a whole.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from dataclasses import dataclass, field

from tracehouse.spool import layout
from tracehoused.service import inotify

__all__ = ["MOST_WATCHES", "Hints", "Watcher"]

MOST_WATCHES = 1024
_ROOT = inotify.CREATE | inotify.MOVED_TO | inotify.ATTRIB
_WRITERS = inotify.CLOSE_WRITE | inotify.DELETE
_SESSION = inotify.MODIFY | inotify.CREATE | inotify.MOVED_TO


@dataclass
class Hints:
    """``sessions``: paths; ``ended``: epochs whose lock was closed; ``lost``: spools to look through, for
    events were lost, or for want of room."""

    sessions: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


class Watcher:
    """``problem`` says why there are no file events, if so; ``polled`` are the spools that have none."""

    def __init__(self) -> None:
        self.problem = ""
        self.polled: set[str] = set()
        self._spools: list[str] = []
        self._inotify: inotify.Inotify | None = None
        self._observer: _Observer | None = None
        self._places: dict[int, tuple[str, str]] = {}  # by watch: (what is watched, path)
        self._watches: dict[str, int] = {}  # sessions only
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._open()

    def _open(self) -> None:
        try:
            if sys.platform == "darwin":
                self._observer = _Observer(self.wake)
            else:
                self._inotify = inotify.Inotify()
                self._poll.register(self._inotify.fd, select.POLLIN)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        hint = ""
        if error.errno in (24, 28):
            hint = "; raise fs.inotify.max_user_instances and fs.inotify.max_user_watches"
        self.problem = f"no file events ({error.strerror or error}{hint}): polling instead"

    def add_spool(self, spool: str) -> None:
        """Watch a spool's directory, which is there."""
        if spool in self._spools:
            return
        self._spools.append(spool)
        if _is_remote(spool):
            self.polled.add(spool)
            return
        try:
            self._add_spool(spool)
        except OSError as error:
            self._fail(error)
            self.polled.add(spool)

    def _add_spool(self, spool: str) -> None:
        if self._observer is not None:
            self._observer.schedule(spool)
        elif self._inotify is not None:
            writers = os.path.join(spool, layout.WRITERS)
            os.makedirs(writers, 0o700, exist_ok=True)
            # the spool's own name may be a link, such as to a larger disk
            self._places[self._inotify.add(os.path.realpath(spool), _ROOT)] = ("spool", spool)
            self._places[self._inotify.add(writers, _WRITERS)] = ("writers", spool)
        else:
            self.polled.add(spool)

    def watch(self, session: str) -> bool:
        """Have hints for each of a session's records; False when it must be looked at by the clock instead. To be asked again before
        each look: what was watched may have been removed or moved away, and another directory be there."""
        if self._observer is not None:
            return os.path.dirname(session) not in self.polled
        known = self._watches.get(session)
        is_full = known is None and len(self._places) >= MOST_WATCHES
        if self._inotify is None or is_full or os.path.dirname(session) in self.polled:
            return False
        try:
            number = self._inotify.add(session, _SESSION)
        except OSError as error:
            if error.errno == 28 and not self.problem:
                self._fail(error)
            self.unwatch(session)
            return False
        if number != known:
            self.unwatch(session)
            self._watches[session] = number
            self._places[number] = ("session", session)  # a directory that was renamed keeps its number
        return True

    def unwatch(self, session: str) -> None:
        number = self._watches.pop(session, None)
        if number is not None and self._inotify is not None and self._places.get(number) == ("session", session):
            del self._places[number]
            self._inotify.remove(number)

    @property
    def watches(self) -> int:
        return len(self._places)

    def wake(self) -> None:
        """End a ``wait``, from any thread or signal handler."""
        try:
            os.write(self._wake_write, b"\0")
        except OSError:
            pass  # it is about to wake anyway, or was closed

    def wait(self, timeout: float | None) -> Hints:
        """What happened: after the first hint, after ``wake``, or after ``timeout`` seconds (None: whenever) with neither."""
        hints = Hints()
        # rounded up: a wait that ends just before its time would be begun again
        self._poll.poll(None if timeout is None else max(0, int(timeout * 1000) + 1))
        try:
            while len(os.read(self._wake_read, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass  # it was a file event, or the time
        if self._observer is not None:
            self._observer.collect(hints)
        if self._inotify is not None:
            for number, mask, name in self._inotify.read():
                self._note(hints, number, mask, name)
        return hints

    def _note(self, hints: Hints, number: int, mask: int, name: str) -> None:
        if mask & inotify.OVERFLOW:
            hints.lost.update(self._spools)
        what, path = self._places.get(number, ("", ""))
        if mask & inotify.GONE:
            self._lost(hints, number, what, path)
        elif what == "spool" and layout.is_session_dir(name):
            hints.sessions.add(os.path.join(path, name))
        elif what == "spool" and name == layout.FULL:
            hints.lost.add(path)  # a job says that it is over its budget
        elif what == "writers" and name.endswith(".lock"):
            hints.ended.add(name[: -len(".lock")])
        elif what == "session" and layout.parse_segment_name(name):
            hints.sessions.add(path)

    def _lost(self, hints: Hints, number: int, what: str, path: str) -> None:
        """What was watched is gone; a spool that comes again is watched again by the next rescan."""
        self._places.pop(number, None)
        if what == "session" and self._watches.get(path) == number:
            del self._watches[path]
        elif what in ("spool", "writers") and path in self._spools:
            self._spools.remove(path)
            hints.lost.add(path)

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
        if self._inotify is not None:
            self._inotify.close()
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)
        self._wake_read = self._wake_write = -1


class _Observer:
    """watchdog's, for systems whose events cover a whole tree at no cost."""

    def __init__(self, wake: object) -> None:
        from watchdog.observers import Observer

        self._observer = Observer()
        self._observer.start()
        self._wake = wake
        self._lock = threading.Lock()
        self._hints = Hints()

    def schedule(self, spool: str) -> None:
        from watchdog.events import FileSystemEventHandler

        handler = FileSystemEventHandler()
        handler.on_any_event = lambda event: self._note(spool, event)  # type: ignore[method-assign]
        self._observer.schedule(handler, spool, recursive=True)

    def _note(self, spool: str, event: object) -> None:
        path = os.fsdecode(getattr(event, "src_path", ""))
        name, _, below = os.path.relpath(path, spool).partition(os.sep)
        with self._lock:
            if layout.is_session_dir(name) and not below.startswith(layout.UPLOAD):
                self._hints.sessions.add(os.path.join(spool, name))
            elif name == layout.WRITERS and below.endswith(".lock"):
                self._hints.ended.add(below[: -len(".lock")])
            else:
                return
        assert callable(self._wake)
        self._wake()

    def collect(self, hints: Hints) -> None:
        with self._lock:
            found, self._hints = self._hints, Hints()
        hints.sessions |= found.sessions
        hints.ended |= found.ended

    def stop(self) -> None:
        self._observer.stop()
        self._observer.join(5)


_REMOTE = frozenset(
    [
        "nfs",
        "nfs4",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "panfs",
        "orangefs",
        "wekafs",
        "pvfs2",
        "glusterfs",
        "webdav",
        "virtiofs",
    ]
)
_REMOTE_FUSE = frozenset(["glusterfs", "sshfs", "ceph", "beegfs", "s3fs", "gcsfuse", "juicefs", "rclone"])


def _is_remote(path: str) -> bool:
    """Whether other machines may write there without an event here, by the file system's name."""
    kind = file_system(path)
    return kind in _REMOTE or kind.partition("fuse.")[2] in _REMOTE_FUSE


def file_system(path: str) -> str:
    """The type of the file system that holds a path, such as ``ext4`` or ``nfs4``; "" where the system does not say."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return ""
    real = os.path.realpath(path)
    best, found = "", ""
    for words in mounts:
        point = words[4].encode("utf-8", "surrogateescape").decode("unicode_escape", "replace")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best) and "-" in words:
            best, found = point, words[words.index("-") + 1]
    return found
