"""What this process records in one session, and its way to the disk.

A segment whose fsync failed is abandoned; what it may have lost is written again, same seq, in the next one.
"""

from __future__ import annotations

import errno
import os
import threading

from tracehouse.spool import durable, headers
from tracehouse.spool.appending import Appender
from tracehouse.spool.releasing import releasing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tracehouse.spool.unsynced import Unsynced


class SessionLog(Appender):
    """Appends, syncs and tells what could not be."""

    def _reset(self) -> None:
        super()._reset()
        self._sync_lock = threading.RLock()
        self._is_syncing = False
        self._synced_seq = 0

    @releasing("lock")
    def lose(self, error: OSError) -> None:
        """Count, and tell, what the disk kept from becoming a record: a media file."""
        with self.lock:
            self._waiting.failed(error)
            self._waiting.lose(0)
            self._mark_dirty()
        self._alone(lambda: self._write_waiting(now=True), None)

    def expect_file(self) -> None:
        """Before a media file is written. OSError when there is no room for it.

        From now on a segment says that this process writes here: where there is none, an agent deletes what lies in the session. Nor
        does one look for a file anywhere but beside the record that names it.
        """
        self.writer.check_room()
        if self.files.fd < 0 or self.files.is_elsewhere:
            self._alone(self._begin, None)

    @releasing("lock")
    def add_file(self, path: str) -> None:
        """A media file that the next sync is to cover, before the segments."""
        with self.lock:
            self.files.unsynced.add_first(path)

    def prepare(self) -> bool:
        """Settle directory, manifest and attempt now; False when the disk does not let us (append goes on regardless)."""
        is_open = self._alone(self._prepare, self.files.is_open)
        self._tell()
        return is_open

    @releasing("lock")
    def flush(self) -> bool:
        """``sync``, and False as well when anything was given up since the last flush."""
        done = self.sync()
        self._tell()
        with self.lock:
            return not self._waiting.has_lost() and done

    def _tell(self) -> None:
        if not self._is_mine():
            self.writer.trouble.tell()

    @releasing("_sync_lock")
    def sync(self) -> bool:
        """Write what waits and wait for the disk: data, then names. False when some of it waits still."""
        # one at a time: what another one has in hand is not on the disk yet
        if not self._is_mine():
            with self._sync_lock:
                return self._sync()
        # in the middle of a call of this thread's: another one that syncs may be waiting for that to end
        if not self._sync_lock.acquire(blocking=False):
            return False
        try:
            return self._sync()
        finally:
            self._sync_lock.release()

    def _is_mine(self) -> bool:
        """This thread is in the middle of a call here."""
        return bool(self.lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001 - as threading.Condition asks

    @releasing("lock")
    def _sync(self) -> bool:
        if self._is_syncing:
            return False
        try:
            try:
                self._is_syncing = True
                with self.lock:
                    tried = self._try() if self._only_writes else self._alone(self._try, None)
                return tried is not None and self._wait_for_disk(*tried)
            finally:
                self._is_syncing = False
        finally:
            self._is_syncing = False  # again: Python 3.9 lets an interrupt in before the first

    @releasing("lock")
    def _wait_for_disk(
        self, tried: Unsynced, fd: int, path: str, start: int, size: int, seq: int, is_written: bool
    ) -> bool:
        try:
            try:
                missing = tried.sync(fd, path)
            finally:
                if fd >= 0:
                    os.close(fd)
        except OSError as error:
            with self.lock:
                doubtful = tried.in_doubt(path, start)
                self.files.unsynced.refuse([segment for segment, _ in doubtful], error)
                self._mark_dirty()
            failure = error
            self._alone(lambda: self._rewrite(doubtful, failure), None)
            return False
        except BaseException:
            self._mark_dirty()
            raise
        with self.lock:
            self.files.unsynced.take_off(tried)
            self._synced_seq = seq
            if path == self.files.path:
                self.files.synced_size = size
            if self._waiting:
                self._mark_dirty()
        for file in missing:
            self.lose(FileNotFoundError(errno.ENOENT, "removed before it was on the disk", file))
        return is_written

    def give_up(self) -> tuple[int, int]:
        """At the process's end: what still waits is lost, and counted where the disk takes that. How many records are lost, and of how
        many of them the spool tells."""
        return self._alone(self._give_up, (0, 0))

    # what follows runs alone

    def _begin(self) -> None:
        if self.files.is_elsewhere:
            self._seal()
            self.files.is_open = False
        self._open_session()
        if not self.files.are_begun:
            self._begin_segment()

    def _prepare(self) -> bool:
        try:
            self._open_session()
        except OSError as error:
            self._waiting.failed(error)
        return self.files.is_open

    def _give_up(self) -> tuple[int, int]:
        lost = self._waiting.give_up()
        self._write_waiting(now=True)
        return lost, lost - self._waiting.losses.records

    def _try(self) -> tuple[Unsynced, int, str, int, int, int, bool] | None:
        """What a sync is to try: files that are closed; of the open one a descriptor (-1: none), path, synced and present size; the last
        seq; and whether nothing waits besides. None where there is no descriptor to be had."""
        self._dirty = False
        files = self.files
        if files.is_removed and not self._only_writes:
            self._seal()
        self._write_waiting(now=True)
        try:
            fd = durable.another(files.fd) if files.fd >= 0 else -1
        except OSError as error:
            self._waiting.failed(error)
            self._mark_dirty()
            return None
        path = files.path if fd >= 0 else ""
        return files.unsynced.copy(), fd, path, files.synced_size, files.size, self._seq, not self._waiting.records

    def _seal(self) -> bool:
        if self.files.is_removed:
            path = self.files.path
            self._waiting.failed(FileNotFoundError(errno.ENOENT, "removed while it was written to", path))
            self._take_back([(path, self.files.synced_size)])
            self._mark_dirty()
        return super()._seal()

    def _rewrite(self, doubtful: list[tuple[str, int]], error: OSError) -> None:
        """After a failed fsync the disk may lack what was written since the last good one: write it again elsewhere."""
        self._waiting.failed(error)
        self._take_back(doubtful)
        segments = [path for path, _ in doubtful]
        if self.files.path in segments:
            super()._seal()
        self.files.unsynced.abandon(segments)
        self._mark_dirty()

    def _take_back(self, doubtful: list[tuple[str, int]]) -> None:
        """What was written to these segments, from there on, waits again."""
        waiting, files = self._waiting, self.files
        again, is_all = headers.read_back([(files.readable(path), start) for path, start in doubtful], files.seed)
        for seq, kind, data in again:
            waiting.keep(seq, kind, data)
        if not is_all:
            # neither surely on the disk nor in memory: given up, at most so many
            waiting.lose(0, max(1, self._last_seq() - self._synced_seq - len(waiting.records)))
