"""What this process records in one session: numbered, written, synced, and kept while the disk takes nothing.

A record that cannot be written waits in memory (8 MiB for all sessions of a spool) for the next try; beyond that the newest is dropped
and counted. A segment whose write or fsync failed is abandoned; what it may have lost is written again, same seq, in the next one.

A signal handler, or a finalizer, may log in the middle of a call of its own thread's. While that call only writes a record, theirs is
written there and then; while it changes files or what waits, theirs is left for it to write before it returns.
"""

from __future__ import annotations

import os
import threading
from itertools import count
from os import write

from tracehouse.spool.losses import Losses, TooLong
from tracehouse.spool.record import MAX_RECORD, frame
from tracehouse.spool.segment import Segments
from tracehouse.spool.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    from tracehouse.spool.manifest import Manifest
    from tracehouse.spool.unsynced import Unsynced
    from tracehouse.spool.writer import Writer

    T = TypeVar("T")

_LONGEST = MAX_RECORD - 256
# where the call is that has the lock
_NOWHERE, _WRITING, _CHANGING = 0, 1, 2


class SessionLog:
    """Appends this process's records to one session. Thread-safe, reentrant (signal handlers may log), fork-safe."""

    def __init__(self, writer: Writer, manifest: Manifest, directory: str) -> None:
        self.writer = writer
        self.check_room = writer.check_room
        self.directory = directory
        self.files = Segments(writer, manifest, directory)
        self.openings = 0  # how many users it has had
        self.next_step: int | None = None
        self._reset()

    def _reset(self) -> None:
        # also for what is decided together with the order of records; a new one after a fork
        self.lock, self._sync_lock = threading.RLock(), threading.RLock()
        self._at = _NOWHERE
        self._seq = self._synced_seq = self._looked_at_size = 0
        self._next_seq = count(1).__next__  # one call into C: no handler comes between its reading and its writing
        self._dirty = self._is_syncing = False
        self._waiting = Waiting(self.writer, self.directory)

    def forget_parent(self) -> None:
        """In a forked child: start over as a new writer; what the parent had in hand stays the parent's."""
        self.files.forget_parent()
        self._reset()

    def append(self, kind: str, data: str) -> None:
        """Hand one record to the kernel: ``data`` is its JSON object. ValueError for one of over 16 MiB; the disk never raises."""
        if len(data) > _LONGEST:
            raise TooLong(kind, len(data))
        with self.lock:
            if self._at:
                self._append_within(kind, data)
                return
            self._at = _WRITING
            try:
                self._seq = seq = self._next_seq()
                files = self.files
                if files.fd < 0 or self._waiting.records:
                    self._append_slowly(seq, kind, data)
                else:
                    line = frame(files.seed, seq, kind, data)
                    try:
                        written = write(files.fd, line)
                    except OSError:
                        written = 0  # the next segment may do better; if not, that failure is told
                    except BaseException:
                        # an interrupt: the record is there or it is not, and its log() does not return
                        self._waiting.interrupted(len(line))
                        raise
                    files.size = size = files.size + written
                    if written != len(line) or files.is_torn:
                        files.is_torn = True
                        self._append_slowly(seq, kind, data)
                    elif size > files.room:
                        self._close()
                if not self._dirty:
                    self._mark_dirty()
            finally:
                self._at = _NOWHERE

    def _append_within(self, kind: str, data: str) -> None:
        seq, files = 0, self.files
        if self._at == _WRITING and files.fd >= 0 and not self._waiting.records:
            seq = self._next_seq()
            line = frame(files.seed, seq, kind, data)
            try:
                if write(files.fd, line) == len(line):
                    return
            except OSError:
                pass
            files.is_torn = True
        self._waiting.leave(seq, kind, data)
        files.room = -1
        self.writer.note_dirty(self)

    def _append_slowly(self, seq: int, kind: str, data: str) -> None:
        self._at = _CHANGING
        self._waiting.keep(seq, kind, data)
        self._write_waiting()

    def _alone(self, work: Callable[[], T], otherwise: T) -> T:
        """Do what changes files or what waits; ``otherwise`` within another call, which has them in hand."""
        with self.lock:
            if self._at:
                return otherwise
            self._at = _CHANGING
            try:
                return work()
            finally:
                self._at = _NOWHERE

    @property
    def has_records(self) -> bool:
        """This process has recorded something here, written or still waiting."""
        return self._seq > 0

    def lose(self, error: OSError) -> None:
        """Count, and tell, what the disk kept from becoming a record: a media file."""
        with self.lock:
            self._waiting.failed(error)
            self._waiting.lose(0)
        self._alone(lambda: self._write_waiting(now=True), None)

    def add_file(self, path: str) -> None:
        """A media file that the next sync is to cover, before the segments."""
        with self.lock:
            self.files.unsynced.add_first(path)

    def prepare(self) -> bool:
        """Settle directory, manifest and attempt now; False when the disk does not let us (append goes on regardless)."""
        return self._alone(self._prepare, self.files.is_open)

    def seal_if_idle(self) -> bool:
        """Give up the open file, for another session's sake, unless this one was written to since the last time, or is being now."""
        size, self._looked_at_size = self._looked_at_size, self.files.size
        if size != self.files.size or not self.lock.acquire(blocking=False):
            return False
        try:
            return self._alone(self._seal, False)
        finally:
            self.lock.release()

    def flush(self) -> bool:
        """``sync``, and False as well when anything was given up since the last flush."""
        done = self.sync()
        with self.lock:
            return not self._waiting.has_lost() and done

    def sync(self) -> bool:
        """Write what waits and wait for the disk: data, then names. False when some of it waits still."""
        # one at a time: what another one has in hand is not on the disk yet
        with self._sync_lock:
            if self._is_syncing:
                return False
            self._is_syncing = True
            try:
                with self.lock:
                    # all is written but the record of the call around this one
                    as_it_is = self._at == _WRITING and self.files.fd >= 0 and not self._waiting
                    taken = self._take() if as_it_is else self._alone(self._take, None)
                return taken is not None and self._sync(*taken)
            finally:
                self._is_syncing = False

    def _sync(self, taken: Unsynced, fd: int, path: str, start: int, size: int, seq: int, is_written: bool) -> bool:
        try:
            taken.sync(fd)
        except OSError as error:
            failure = error
            if not self._alone(lambda: self._rewrite(taken, path, start, failure), False):
                self._untake(taken)
            return False
        except BaseException:
            self._untake(taken)
            raise
        finally:
            if fd >= 0:
                os.close(fd)
        with self.lock:
            self._synced_seq = seq
            if path == self.files.path:
                self.files.synced_size = size
            if self._waiting:
                self._mark_dirty()
        return is_written

    def give_up(self) -> int:
        """At the process's end: what still waits is lost, and counted where the disk takes that. How many records are lost."""
        return self._alone(self._give_up, 0)

    def close(self) -> None:
        """Seal the open segment; a later append opens the next one."""
        self._alone(self._close, None)

    def _mark_dirty(self) -> None:
        # noted first: an interrupt between the two has it noted again
        self.writer.note_dirty(self)
        self._dirty = True

    # what follows runs alone

    def _write_waiting(self, *, now: bool = False) -> None:
        waiting = self._waiting
        waiting.keep_left(self._next_seq)
        if not waiting.are_due(now):
            return
        try:
            self._open_session()
            while waiting.records:
                self._write_one(*waiting.records[0])
                waiting.done()
                waiting.keep_left(self._next_seq)
            if waiting.losses.records:
                self._seq = self._next_seq()
                self._write_one(self._seq, "dropped", waiting.losses.to_json(self.writer.now()))
                waiting.losses = Losses()
            waiting.failure = ""
        except OSError as error:
            waiting.failed(error)

    def _write_one(self, seq: int, kind: str, data: str) -> None:
        files = self.files
        if files.is_torn:
            self._seal()
        if files.fd < 0:
            self._begin_segment()
        try:
            files.write(frame(files.seed, seq, kind, data))
        except OSError:
            self._seal()
            raise
        if files.size > files.room:
            self._seal()

    def _prepare(self) -> bool:
        try:
            self._open_session()
        except OSError as error:
            self._waiting.failed(error)
        return self.files.is_open

    def _open_session(self) -> None:
        before = self.files.open()
        if before:
            self._seq += before
            self._next_seq = count(self._seq + 1).__next__
            self._waiting.renumber(before)

    def _begin_segment(self) -> None:
        self.writer.make_room(self)
        seq = self._next_seq()
        try:
            self.files.begin(seq, self.next_step)
        except BaseException:
            self._next_seq = count(seq).__next__
            raise
        self._seq = seq

    def _seal(self) -> bool:
        if self.files.fd >= 0:
            self.writer.closed(self)
            if not self.files.seal():
                self._mark_dirty()
        return True

    def _close(self) -> None:
        self._at = _CHANGING
        self._write_waiting(now=True)
        self._seal()

    def _give_up(self) -> int:
        lost = self._waiting.give_up()
        self._write_waiting(now=True)
        return lost

    def _take(self) -> tuple[Unsynced, int, str, int, int, int, bool]:
        """What a sync is to try: files that are closed; of the open one a descriptor (-1: none), path, synced and present size; the last
        seq; and whether nothing waits besides."""
        self._dirty = False
        self._write_waiting(now=True)
        files = self.files
        fd = os.dup(files.fd) if files.fd >= 0 else -1
        path = files.path if fd >= 0 else ""
        return files.unsynced.take(), fd, path, files.synced_size, files.size, self._seq, not self._waiting.records

    def _untake(self, taken: Unsynced) -> None:
        self.files.unsynced.add(taken)
        self._mark_dirty()

    def _rewrite(self, taken: Unsynced, current: str, start: int, error: OSError) -> bool:
        """After a failed fsync the disk may lack what was written since the last good one: write it again elsewhere."""
        waiting = self._waiting
        waiting.failed(error)
        if current and current == self.files.path:
            self._seal()
        again, is_all = self.files.read_back(taken, current, start)
        for seq, kind, data in again:
            waiting.keep(seq, kind, data)
        if not is_all:
            # neither surely on the disk nor in memory: given up, at most so many
            waiting.lose(0, self._seq - self._synced_seq - len(waiting.records))
        self._mark_dirty()
        return True
