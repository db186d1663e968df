"""Records of one session, numbered and written in order, by whichever thread or signal handler comes.

A record that cannot be written waits in memory (8 MiB for all sessions of a spool) for the next try; beyond that the newest is dropped
and counted. A segment whose write failed is abandoned; what it may lack is written again, same seq, in the next one.

A signal handler, or a finalizer, may log in the middle of a call of its own thread's. While that call only writes a record, theirs is
written there and then; while it changes files or what waits, theirs is left for it to write before it returns. An interrupt (a handler
that raises) leaves no state behind that a later call trips over.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from itertools import count
from os import write

from tracehouse.spool.losses import Losses, TooLong
from tracehouse.spool.record import MAX_BYTES, MAX_RECORD, frame, size_of
from tracehouse.spool.releasing import releasing
from tracehouse.spool.segment import Segments
from tracehouse.spool.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    from tracehouse.spool.manifest import Manifest
    from tracehouse.spool.writer import Writer

    T = TypeVar("T")

_LONGEST = MAX_RECORD - 256  # bytes
_SURELY_FITS = _LONGEST // MAX_BYTES  # characters
# where the call is that has the lock
_NOWHERE, _WRITING, _CHANGING = 0, 1, 2


class Appender(ABC):
    """Thread-safe, reentrant, fork-safe."""

    def __init__(self, writer: Writer, manifest: Manifest, directory: str) -> None:
        self.writer = writer
        self.directory = directory
        self.files = Segments(writer, manifest, directory)
        self.openings = 0  # how many users it has had
        self.next_step: int | None = None
        self._reset()

    def _reset(self) -> None:
        # both new after a fork
        self.lock = threading.RLock()
        self.step_lock = threading.RLock()  # of its own: nobody waits for a write to learn the next step
        self._at = _NOWHERE
        self._seq = self._looked_at_size = 0
        self._next_seq = count(1).__next__  # one call into C: no handler comes between its reading and its writing
        self._dirty = False
        # the seq of a call, and what was written within it
        self._beside: tuple[int, list[tuple[int, str, str]]] | None = None
        self._waiting = Waiting(self.writer, self.directory)

    def forget_parent(self) -> None:
        """In a forked child: start over as a new writer; what the parent had in hand stays the parent's."""
        self.files.forget_parent()
        self._reset()

    @releasing("lock")
    def append(self, kind: str, data: str) -> None:
        """Hand one record to the kernel: ``data`` is its JSON object. ValueError for one of over 16 MiB; the disk never raises."""
        if len(data) > _SURELY_FITS and (size := size_of(data)) > _LONGEST:
            raise TooLong(kind, size)
        lock = self.lock
        with lock:
            if self._at:
                self._append_within(kind, data)
                return
            try:
                try:
                    self._at = _WRITING
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
                            # an interrupt: the record is there, in part or whole, or it is not; and its log() does not return
                            files.is_torn = True
                            self._waiting.interrupted(len(line))
                            raise
                        files.size = size = files.size + written
                        if written != len(line) or files.is_torn:
                            files.is_torn = True
                            # not in a child that a signal handler forked in here: the record is its parent's
                            if self.lock is lock:
                                self._append_slowly(seq, kind, data)
                        elif size > files.room:
                            self._at = _CHANGING
                            self._write_waiting(now=True)
                            self._go_over()
                    if not self._dirty:
                        self._mark_dirty()
                finally:
                    self._at = _NOWHERE
            finally:
                self._at = _NOWHERE  # again: Python 3.9 lets an interrupt in before the first

    def _append_within(self, kind: str, data: str) -> None:
        seq, files = 0, self.files
        if self._at == _WRITING and files.fd >= 0 and not files.is_torn and not self._waiting.records:
            seq = self._next_seq()
            line = frame(files.seed, seq, kind, data)
            try:
                is_written = write(files.fd, line) == len(line)
            except OSError:
                is_written = False
            except BaseException:
                files.is_torn = True
                raise
            if is_written:
                # it may stand behind part of the outer call's line
                if not self._beside or self._beside[0] != self._seq:
                    self._beside = (self._seq, [])
                self._beside[1].append((seq, kind, data))
                return
            files.is_torn = True
        self._waiting.leave(seq, kind, data)
        files.room = -1
        self.writer.note_dirty(self)

    def _append_slowly(self, seq: int, kind: str, data: str) -> None:
        self._at = _CHANGING
        self._waiting.keep(seq, kind, data)
        if self._beside and self._beside[0] == seq:
            for beside in self._beside[1]:
                self._waiting.keep(*beside)
        self._write_waiting()

    @releasing("lock")
    def _alone(self, work: Callable[[], T], otherwise: T) -> T:
        """Do what changes files or what waits; ``otherwise`` within another call, which has them in hand."""
        with self.lock:
            if self._at:
                return otherwise
            try:
                try:
                    self._at = _CHANGING
                    done = work()
                    while self._waiting.has_left:
                        self._write_waiting()
                    return done
                finally:
                    self._at = _NOWHERE
            finally:
                self._at = _NOWHERE

    @property
    def _only_writes(self) -> bool:
        """Within a call of this thread's that only writes a record: all else is written."""
        return self._at == _WRITING and self.files.fd >= 0 and not self._waiting

    @property
    def has_records(self) -> bool:
        """This process has recorded something here, written or still waiting."""
        return self._seq > 0

    @abstractmethod
    def sync(self) -> bool:
        """Write what waits and wait for the disk."""

    def seal_if_idle(self) -> bool:
        """Give up the open file, for another session's sake, unless this one was written to since the last time, or is being now."""
        size, self._looked_at_size = self._looked_at_size, self.files.size
        if size != self.files.size:
            return False
        is_ours = False
        try:
            is_ours = self.lock.acquire(blocking=False)
            return is_ours and self._alone(self._seal, False)
        finally:
            if is_ours:
                self.lock.release()

    def close(self) -> None:
        """Seal the open segment; a later append opens the next one."""
        self._alone(self._close, None)

    @releasing("lock")
    def end(self, kind: str, data: str) -> None:
        """Append the last word of this process here. Nobody waits for more from now on: each further record is told of."""
        with self.lock:
            self.files.expect(False)
            self.append(kind, data)

    @releasing("lock")
    def go_on(self) -> None:
        """More is to be expected again: what was appended last says so."""
        if self.files.is_ended:
            with self.lock:
                self.files.expect(True)

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
                self._open_segment()  # before it is numbered: each try that fails would leave a gap
                self._seq = self._next_seq()
                self._write_one(self._seq, "dropped", waiting.losses.to_json(self.writer.now()))
                waiting.losses = Losses()
            waiting.failure = ""
        except OSError as error:
            waiting.failed(error)

    def _write_one(self, seq: int, kind: str, data: str) -> None:
        self._open_segment()
        files = self.files
        try:
            files.write(frame(files.seed, seq, kind, data))
        except OSError:
            self._seal()
            raise
        if files.size > files.room:
            self._go_over()

    def _open_segment(self) -> None:
        if self.files.is_torn:
            self._seal()
        if self.files.fd < 0:
            self._begin_segment()

    def _open_session(self) -> None:
        files = self.files
        files.open()
        if files.before:
            before, files.before = files.before, 0
            self._seq = self._last_seq() + before
            self._next_seq = count(self._seq + 1).__next__
            self._waiting.renumber(before)

    def _last_seq(self) -> int:
        last = self._next_seq() - 1
        self._next_seq = count(last + 1).__next__
        return last

    def _begin_segment(self) -> None:
        self.writer.make_room(self)
        seq = self._next_seq()
        try:
            self.files.begin(seq, self.next_step)
        except BaseException:
            if self.files.fd < 0:
                self._next_seq = count(seq).__next__
            raise
        self._seq = seq

    def _go_over(self) -> None:
        """The segment is full, or is to be told of."""
        if not self.files.tell():
            self._seal()

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
