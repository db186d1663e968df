"""This process as a writer of one spool: its epoch, its lock and heartbeat, its background sync, its open files.

However many sessions it has open, there is one lock, one thread, and no more open segments than a process may well have.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from weakref import WeakValueDictionary

from tracehouse.spool import durable, headers, headroom, layout, liveness, manifest
from tracehouse.spool.flag import Flag
from tracehouse.spool.ownlock import OwnLock
from tracehouse.spool.releasing import releasing
from tracehouse.spool.trouble import Trouble
from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tracehouse.spool.appending import Appender
    from tracehouse.spool.budget import Budget
    from tracehouse.spool.log import SessionLog
    from tracehouse.spool.manifest import Manifest

SEGMENT_BYTES = 32 * 1024 * 1024
MEMORY_BYTES = 8 * 1024 * 1024
_OPEN = 64, 1024  # sessions whose segment is open at once: at least, and at most
SYNC_SECONDS = 1.0
_BUDGETS = ("TRACEHOUSE_SPOOL_MAX_BYTES", "TRACEHOUSE_SPOOL_MAX_FILES", "TRACEHOUSE_SPOOL_FULL")
_MANY = 32  # beyond so many sessions one syncfs is cheaper than their fsyncs

_writers: dict[str, Writer] = {}


def writer_of(root: str, now: Callable[[], str], *, segment_bytes: int = SEGMENT_BYTES) -> Writer:
    """This process's writer for a spool directory (absolute path)."""
    writer = _writers.get(root)
    if writer is None:
        # of two threads that come here at once, one's is the writer of both
        writer = _writers.setdefault(root, Writer(root, now, segment_bytes))
    return writer


class Writer:
    """``now`` gives the wall time as the records state it."""

    def __init__(self, root: str, now: Callable[[], str], segment_bytes: int) -> None:
        self.root = root
        self.now = now
        self.segment_bytes = segment_bytes
        self._in_use: dict[SessionLog, int] = {}
        # one for each directory, closed ones too: two would give out the same seq
        self._all: WeakValueDictionary[str, SessionLog] = WeakValueDictionary()
        self.boot_id = liveness.boot_id()
        self.budget = _budget(root)
        self.trouble = Trouble(MEMORY_BYTES)
        self._reset()

    def _reset(self) -> None:
        self.epoch = os.urandom(8).hex()
        self._lock = threading.RLock()
        self._own_lock = OwnLock(self._writers_dir, self.epoch)
        self._memory = 0
        self._open: dict[Appender, None] = {}  # least recently looked at first
        self._dirty: dict[Appender, None] = {}
        self._thread: threading.Thread | None = None
        self._wake, self._stop = Flag(), Flag()
        self.is_ending = False

    def forget_parent(self) -> None:
        """In a forked child: a new writer, without the parent's lock (closing it here leaves it to the parent)."""
        self._own_lock.leave()
        self._reset()
        self._in_use.clear()  # the parent's users: who ends one here is not kept waiting for them
        for log in list(self._all.values()):
            log.forget_parent()

    @releasing("_lock")
    def share(self, directory: str, make: Callable[[], SessionLog]) -> SessionLog:
        """This process's one log of a session, for one more user of it; it stays open until each has released it."""
        with self._lock:
            log = self._all.get(directory)
            if log is None:
                log = self._all[directory] = make()
            self._in_use[log] = self._in_use.get(log, 0) + 1
            log.openings += 1
            return log

    @releasing("_lock")
    def release(self, log: SessionLog) -> bool:
        """A user of the session is done with it; whether it was the last, after whom it is to be sealed."""
        with self._lock:
            users = self._in_use.pop(log, 1) - 1
            if users > 0:
                self._in_use[log] = users
            return users <= 0

    @releasing("_lock")
    def open(self) -> None:
        """Directories and lock file; OSError when the disk does not let us, or the budget is used up."""
        self.check_room()
        with self._lock:
            if not self._own_lock.is_held:
                durable.private_dir(self.root)
                durable.private_dir(self._writers_dir)
                self._own_lock.take(self.now())

    def check_room(self) -> None:
        """OSError when the disk is all but full, or the spool's budget used up and more is to be dropped."""
        headroom.check(self.root, at_end=self.is_ending)
        if self.budget is not None and not self.is_ending:
            self.budget.check()

    def publish(self, directory: str, ours: Manifest) -> Manifest:
        try:
            return manifest.publish(directory, ours, headers.manifest_in)
        except ValueError as error:
            # a newer format, or a file nobody can read: not ours to touch
            raise OSError(5, str(error), directory) from error

    def claim(self, directory: str) -> tuple[int, int, bool]:
        """(attempt, claim, whether the attempt begins with it) of this writer in a session: what it had there before;
        else the current attempt if a writer lives in it, else the next."""
        found = self._writers_of(directory)
        pruned_attempt, pruned_claim = headers.claim_pruned(directory)
        attempts, claims, living = [pruned_attempt], [pruned_claim], False
        for epoch, (attempt, claim) in found.items():
            if epoch == self.epoch:
                return attempt, claim, True
            attempts.append(attempt)
            claims.append(claim)
            living = living or liveness.probably_lives(self._writers_dir, epoch, time.time())
        attempt = max(attempts)
        return (attempt if living else attempt + 1), max(claims) + 1, not living

    def _writers_of(self, directory: str) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for name in sorted(os.listdir(directory)):
            segment = layout.parse_segment_name(name)
            if segment is not None and segment.epoch not in found:
                header = headers.claim_in(os.path.join(directory, name))
                if header is not None:
                    found[segment.epoch] = header
        return found

    @property
    def _writers_dir(self) -> str:
        return os.path.join(self.root, layout.WRITERS)

    @releasing("_lock")
    def note_dirty(self, log: Appender) -> None:
        with self._lock:
            self._dirty[log] = None
            if self._thread is None or not self._thread.is_alive():
                self._start()
            self._wake.set()

    @releasing("_lock")
    def take_memory(self, size: int) -> bool:
        with self._lock:
            if self._memory and self._memory + size > MEMORY_BYTES:
                return False
            self._memory += size
            return True

    @releasing("_lock")
    def give_memory(self, size: int) -> None:
        with self._lock:
            self._memory -= size

    @releasing("_lock")
    def make_room(self, log: Appender) -> None:
        """Before ``log`` opens a segment: seal another session's when too many are open (second chance to the used).
        OSError when the spool has no room for one."""
        self.check_room()
        with self._lock:
            most, chances = _most_open(), 2 * len(self._open)
            while len(self._open) >= most and chances:
                chances -= 1
                other = next(iter(self._open))
                self._open.pop(other, None)
                if other is log or not other.seal_if_idle():
                    self._open[other] = None
            self._open[log] = None

    @releasing("_lock")
    def closed(self, log: Appender) -> None:
        with self._lock:
            self._open.pop(log, None)

    @releasing("_lock")
    def sync_dirty(self) -> None:
        """Everything written so far to the disk, for all sessions."""
        with self._lock:
            dirty, self._dirty = list(self._dirty), {}
        try:
            if len(dirty) > _MANY:
                durable.sync_file_system(self.root)
            while dirty:
                dirty[-1].sync()
                dirty.pop()
        finally:
            for log in dirty:  # interrupted: another time
                self.note_dirty(log)

    def give_up(self) -> None:
        """At a clean exit, after a last try: tell how many records this process takes with it."""
        known = [ref() for ref in self._all.valuerefs()]  # not values(): daemon threads begin sessions meanwhile
        given_up = [log.give_up() for log in known if log is not None]
        lost = sum(records for records, _ in given_up)
        if lost:
            say(
                "error",
                "%d records could not be written to the spool %s and are lost with this process; the spool itself tells of %d of them",
                lost,
                self.root,
                sum(told for _, told in given_up),
            )

    @releasing("_lock")
    def stop(self) -> None:
        """At a clean exit, all being synced: end the thread and take the lock file away."""
        self._stop.set()
        self._wake.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread.ident is not None and thread is not threading.current_thread():
            thread.join(5)
        self._stop = Flag()
        self._own_lock.remove()

    def _start(self) -> None:
        run = (self._wake, self._stop)
        try:
            # before it is started: an interrupt may end the wait for its start, not the start
            self._thread = threading.Thread(target=self._run, args=run, name="tracehouse-sync", daemon=True)
            self._thread.start()
        except RuntimeError:
            pass  # a subinterpreter that may have none, or one that is shutting down: its exit handler syncs

    def _run(self, wake: Flag, stop: Flag) -> None:
        beat_at = time.monotonic()
        while not stop.is_set:
            if wake.take(beat_at + liveness.HEARTBEAT_SECONDS - time.monotonic()):
                if stop.take(SYNC_SECONDS):
                    stop.set()
                    return
                wake.take(0)
                self._try(self.sync_dirty)
                self._try(self.trouble.tell)
            self._try(self._keep_room)
            if time.monotonic() - beat_at >= liveness.HEARTBEAT_SECONDS:
                beat_at = time.monotonic()
                self._beat()

    def _keep_room(self) -> None:
        if self.budget is not None:
            self.budget.look(time.monotonic())
        try:
            self.check_room()
        except OSError:
            # each time: a thread that had found room may have opened a segment since
            for log in list(self._open):
                log.close()

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - a thread's top: it must live on, and say so
            say("error", "background work on the spool %s failed; it goes on", self.root, exc_info=True)

    @releasing("_lock")
    def _beat(self) -> None:
        try:
            with self._lock:
                self._own_lock.beat(self.now())
        except OSError:
            pass  # a full or vanished disk: the flock and the pid still tell


def _most_open() -> int:
    """A quarter of the files that this process may have open: each session that is sealed for another's sake has one more segment."""
    least, most = _OPEN
    try:
        return min(max(least, os.sysconf("SC_OPEN_MAX") // 4), most)
    except (AttributeError, ValueError, OSError):
        return least


def _budget(root: str) -> Budget | None:
    if not any(name in os.environ for name in _BUDGETS):
        return None
    from tracehouse.spool import budget

    return budget.of(root, os.environ)


def stop_all() -> None:
    """Sync everything this process has written, and end as a writer."""
    for writer in list(_writers.values()):
        writer.is_ending = True  # what waits is the last of it, and tells how it ended
        writer.sync_dirty()
        writer.trouble.tell()
        writer.give_up()
        writer.stop()


def _after_fork() -> None:
    for writer in _writers.values():
        writer.forget_parent()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
