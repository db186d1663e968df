"""One session's segments of this process: append, roll, seal, sync.

A record that cannot be written waits in memory (8 MiB for all sessions of a spool) for the next try; beyond that the newest is dropped
and counted. A segment whose write or fsync failed is abandoned; what it may have lost is written again, same seq, in the next one.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from os import write

from tracehouse.spool import durable, headers, layout, record
from tracehouse.spool.losses import Losses, TooLong
from tracehouse.spool.record import MAX_RECORD, frame
from tracehouse.spool.unsynced import Unsynced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tracehouse.spool.manifest import Manifest
    from tracehouse.spool.writer import Writer

RETRY_SECONDS = 0.5
_LONGEST = MAX_RECORD - 256


class SessionLog:
    """Appends this process's records to one session. Thread-safe, reentrant (signal handlers may log), fork-safe."""

    def __init__(self, writer: Writer, manifest: Manifest, directory: str) -> None:
        self.writer = writer
        self.check_room = writer.check_room
        self.manifest = manifest  # ours until the session is open, then the one that holds
        self.directory = directory
        self.attempt = self.claim = 1
        self.resumed = False  # others wrote here before, or this process did
        self.began_attempt = True  # when it was opened, no writer lived here
        self.opened_at = 0  # number of the segment that was to be this log's first
        self.openings = 0  # how many users it has had
        self.next_step: int | None = None
        self._reset()

    def _reset(self) -> None:
        # also for what is decided together with the order of records; a new one after a fork
        self.lock, self._sync_lock = threading.RLock(), threading.RLock()
        self._fd = -1
        self._path = self._failure = ""
        self._n = self._seq = self._seed = self._room = 0
        self._size = self._looked_at_size = self._synced_size = self._synced_seq = 0
        # open: directory, manifest and attempt are settled
        self._is_open = self._dirty = self._lost_since_flush = False
        self._waiting: deque[tuple[int, str, str]] = deque()
        self._losses = Losses()
        self._retry_at = 0.0
        self._unsynced = Unsynced()

    def forget_parent(self) -> None:
        """In a forked child: start over as a new writer; what the parent had in hand stays the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
        self._reset()

    def append(self, kind: str, data: str) -> None:
        """Hand one record to the kernel: ``data`` is its JSON object. ValueError for one of over 16 MiB; the disk never raises."""
        if len(data) > _LONGEST:
            raise TooLong(kind, len(data))
        with self.lock:
            self._seq = seq = self._seq + 1
            if self._fd < 0 or self._waiting:
                self._keep(seq, kind, data)
                self._write_waiting()
            else:
                line = frame(self._seed, seq, kind, data)
                try:
                    written = write(self._fd, line)
                except OSError:
                    written = 0  # the next segment may do better; if not, that failure is told
                except BaseException:
                    # an interrupt: the record is there or it is not, and its log() does not return
                    self._losses.add("interrupted", len(line), self.writer.now())
                    raise
                if written != len(line):
                    self._seal()
                    self._keep(seq, kind, data)
                    self._write_waiting()
                else:
                    self._size = size = self._size + written
                    if size > self._room:
                        self._seal()
            if not self._dirty:
                self._mark_dirty()

    @property
    def has_records(self) -> bool:
        """This process has recorded something here, written or still waiting."""
        return self._seq > 0

    def lose(self, error: OSError) -> None:
        """Count, and tell, what the disk kept from becoming a record: a media file."""
        with self.lock:
            self._failed(error)
            self._losses.add(self._failure, 0, self.writer.now())
            self._lost_since_flush = True
            self._write_waiting(now=True)

    def add_file(self, path: str) -> None:
        """A media file that the next sync is to cover, before the segments."""
        with self.lock:
            self._unsynced.add_first(path)

    def prepare(self) -> bool:
        """Settle directory, manifest and attempt now; False when the disk does not let us (append goes on regardless)."""
        with self.lock:
            try:
                self._open_session()
            except OSError as error:
                self._failed(error)
            return self._is_open

    def seal_if_idle(self) -> bool:
        """Give up the open file, for another session's sake, unless this one was written to since the last time, or is being now."""
        size, self._looked_at_size = self._looked_at_size, self._size
        if size != self._size or not self.lock.acquire(blocking=False):
            return False
        try:
            self._seal()
        finally:
            self.lock.release()
        return True

    def flush(self) -> bool:
        """``sync``, and False as well when anything was given up since the last flush."""
        done = self.sync()
        with self.lock:
            lost, self._lost_since_flush = self._lost_since_flush, False
        return done and not lost

    def sync(self) -> bool:
        """Write what waits and wait for the disk: data, then names. False when some of it waits still."""
        # one at a time: what another one has in hand is not on the disk yet
        with self._sync_lock:
            return self._sync()

    def _sync(self) -> bool:
        with self.lock:
            self._dirty = False
            self._write_waiting(now=True)
            taken = self._unsynced.take()
            fd = os.dup(self._fd) if self._fd >= 0 else -1
            path, start, size, seq = self._path, self._synced_size, self._size, self._seq
            is_written = not self._waiting
        try:
            try:
                taken.sync(fd)
            finally:
                if fd >= 0:
                    os.close(fd)
        except OSError as error:
            self._rewrite(taken, path if fd >= 0 else "", start, error)
            return False
        with self.lock:
            self._synced_seq = seq
            if path == self._path:
                self._synced_size = size
            if self._waiting:
                self._mark_dirty()
        return is_written

    def give_up(self) -> int:
        """At the process's end: what still waits is lost, and counted where the disk takes that. How many records are lost."""
        with self.lock:
            self.writer.give_memory(self._losses.take(self._waiting, self._failure or "unwritable", self.writer.now()))
            lost = self._losses.records
            self._write_waiting(now=True)
            return lost

    def close(self) -> None:
        """Seal the open segment; a later append opens the next one."""
        with self.lock:
            self._write_waiting(now=True)
            self._seal()

    # what follows runs under the lock

    def _keep(self, seq: int, kind: str, data: str) -> None:
        size = len(data) + 64
        if self.writer.take_memory(size):
            self._waiting.append((seq, kind, data))
        else:
            self._lost_since_flush = True
            self._losses.add(self._failure or "unwritable", size, self.writer.now())

    def _write_waiting(self, *, now: bool = False) -> None:
        has_work = bool(self._waiting or self._losses.records)
        if not has_work or (not now and self._failure and time.monotonic() < self._retry_at):
            return
        try:
            self._open_session()
            while self._waiting:
                self._write_one(*self._waiting[0])
                self.writer.give_memory(len(self._waiting.popleft()[2]) + 64)
            if self._losses.records:
                self._seq += 1
                self._write_one(self._seq, "dropped", self._losses.to_json(self.writer.now()))
                self._losses = Losses()
            self._failure = ""
        except OSError as error:
            self._failed(error)

    def _write_one(self, seq: int, kind: str, data: str) -> None:
        if self._fd < 0:
            self._open_segment()
        line = frame(self._seed, seq, kind, data)
        try:
            durable.write_once(self._fd, line)
        except OSError:
            self._seal()
            raise
        self._size += len(line)
        if self._size > self._room:
            self._seal()

    def _failed(self, error: OSError) -> None:
        self._failure = errno.errorcode.get(error.errno or 0, "EIO")
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self.writer.tell(self.directory, error, self._losses)

    def _open_session(self) -> None:
        if self._is_open:
            return
        self.writer.open()
        fresh = not os.path.isdir(self.directory)
        durable.private_dir(self.directory)
        self.manifest = self.writer.publish(self.directory, self.manifest)
        self.attempt, self.claim, self.began_attempt = self.writer.claim(self.directory)
        self._seed = record.checksum_seed(self.manifest.uid, self.writer.epoch)
        if self._n == 0:
            # what this process wrote here before, when it had the session open and let it go
            self._n, before = headers.end_of(self.directory, self.writer.epoch, self._seed)
            self._seq += before
            self._waiting = deque((seq + before, kind, data) for seq, kind, data in self._waiting)
        self.opened_at = self._n
        self.resumed = self.claim > 1 or self._n > 0
        self._unsynced.files.append(os.path.join(self.directory, layout.MANIFEST))
        self._unsynced.add_dirs(
            self.directory, *((self.writer.root, os.path.dirname(self.writer.root)) if fresh else ())
        )
        self._is_open = True

    def _open_segment(self) -> None:
        self.writer.make_room(self)
        path = os.path.join(self.directory, layout.segment_name(self.writer.epoch, self._n))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, durable.FILE_MODE)
        except FileNotFoundError:
            # someone removed the directory: what is logged from now on is worth a new one
            self._is_open = False
            self._open_session()
            fd = os.open(path, flags, durable.FILE_MODE)
        header = frame(self._seed, self._seq + 1, "segment", self._header())
        try:
            durable.write_once(fd, header)
        except BaseException:
            # nothing valid is in it: leave no empty file behind at every try
            try:
                os.unlink(path)
            finally:
                os.close(fd)
            raise
        self._fd, self._path = fd, path
        self._n, self._seq = self._n + 1, self._seq + 1
        self._size, self._synced_size, self._room = len(header), 0, self.writer.segment_bytes
        self._unsynced.add_dirs(self.directory)
        durable.touch(self.directory)  # for an agent that watches only the spool's root

    def _header(self) -> str:
        told = {"epoch": self.writer.epoch, "n": self._n, "attempt": self.attempt, "claim": self.claim}
        return headers.text(
            self.manifest, {**told, "boot_id": self.writer.boot_id, "at": self.writer.now()}, self.next_step
        )

    def _seal(self) -> None:
        """Leave the segment, also one with a torn line at its end: what is in it stays readable."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self.writer.closed(self)
            try:
                os.close(fd)
            except OSError as error:
                # a file server may refuse only now what write() was let have: to be written again, as after a failed fsync
                self._unsynced.add_refused(self._path, error)
                self._mark_dirty()
            else:
                self._unsynced.files.append(self._path)

    def _rewrite(self, taken: Unsynced, current: str, start: int, error: OSError) -> None:
        """After a failed fsync the disk may lack what was written since the last good one: write it again elsewhere."""
        with self.lock:
            self._failed(error)
            if current and current == self._path:
                self._seal()
            self._unsynced.put_back(taken, current)
            again, is_all = headers.read_back(taken.in_doubt(current, start), self._seed)
            for seq, kind, data in again:
                self._keep(seq, kind, data)
            if not is_all:
                # neither surely on the disk nor in memory: given up, at most so many
                self._lost_since_flush = True
                self._losses.add(self._failure, 0, self.writer.now(), self._seq - self._synced_seq - len(self._waiting))
            self._mark_dirty()

    def _mark_dirty(self) -> None:
        # noted first: an interrupt between the two has it noted again
        self.writer.note_dirty(self)
        self._dirty = True
