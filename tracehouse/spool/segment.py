"""The files of one session that this process writes: the directory with its manifest, and one open segment at a time."""

from __future__ import annotations

import os

from tracehouse.spool import durable, headers, layout, record
from tracehouse.spool.record import frame
from tracehouse.spool.unsynced import Unsynced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tracehouse.spool.manifest import Manifest
    from tracehouse.spool.writer import Writer

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Segments:
    """OSError when the disk does not let it. For one caller at a time."""

    def __init__(self, writer: Writer, manifest: Manifest, directory: str) -> None:
        self.writer = writer
        self.manifest = manifest  # ours until the session is open, then the one that holds
        self.directory = directory
        self.attempt = self.claim = 1
        self.resumed = False  # others wrote here before, or this process did
        self.began_attempt = True  # when it was opened, no writer lived here
        self.opened_at = 0  # number of the segment that was to be the first from here
        self._reset()

    def _reset(self) -> None:
        self.fd = -1
        self.path = ""
        self.seed = self.size = self.room = self.synced_size = self._n = 0
        self.before = 0  # records that this process wrote when it had the session open before, until they are counted
        self.is_open = False  # directory, manifest and attempt are settled
        self.is_torn = False  # the open one ends with part of a record
        self.is_ended = False  # this process said that it is done here, and has not begun anew
        self.unsynced = Unsynced()

    def forget_parent(self) -> None:
        """In a forked child: start over as a new writer."""
        if self.fd >= 0:
            os.close(self.fd)
        self._reset()

    def open(self) -> None:
        """Settle directory, manifest and attempt."""
        if self.is_open:
            return
        self.writer.open()
        fresh = not os.path.isdir(self.directory)
        durable.private_dir(self.directory)
        self.manifest = self.writer.publish(self.directory, self.manifest)
        self.attempt, self.claim, self.began_attempt = self.writer.claim(self.directory)
        self.seed = record.checksum_seed(self.manifest.uid, self.writer.epoch)
        if self._n == 0:
            self._n, self.before = headers.end_of(self.directory, self.writer.epoch, self.seed)
        self.opened_at = self._n
        self.resumed = self.claim > 1 or self._n > 0
        self.unsynced.files.append(os.path.join(self.directory, layout.MANIFEST))
        self.unsynced.add_dirs(
            self.directory, *((self.writer.root, os.path.dirname(self.writer.root)) if fresh else ())
        )
        self.is_open = True

    @property
    def are_begun(self) -> bool:
        """Of the session, once it is open: this writer has a segment in it."""
        return self._n > 0

    @property
    def is_removed(self) -> bool:
        """Someone removed the open segment: what is written to it is for nobody."""
        return self.fd >= 0 and not durable.has_name(self.fd)

    @property
    def is_elsewhere(self) -> bool:
        """The open segment has not the name any more by which it was opened: someone moved the session, or the spool."""
        return self.fd >= 0 and not durable.is_named(self.fd, self.path)

    def readable(self, path: str) -> str:
        """By which name to read a segment: of one that was removed while it is open, the one that the system has for it (Linux)."""
        return f"/dev/fd/{self.fd}" if path == self.path and self.is_removed else path

    def begin(self, seq: int, next_step: int | None) -> None:
        """Open the next segment, whose header has this seq."""
        path, fd = self._create()
        header = frame(self.seed, seq, "segment", self._header(next_step))
        try:
            durable.write_once(fd, header)
            self.unsynced.add_dirs(self.directory)
            self.size, self.synced_size = len(header), 0
            self.expect(not self.is_ended)
            self.path, self._n, self.is_torn = path, self._n + 1, False
            self.fd = fd
        except BaseException:
            # nothing valid is in it: leave no empty file behind at every try
            if self.fd != fd:
                try:
                    os.unlink(path)
                finally:
                    os.close(fd)
            raise
        durable.touch(self.directory)  # for an agent that watches only the spool's root

    def expect(self, more: bool) -> None:
        """Whether more is to come, or this process is done here: then there is no room for a record that ``tell`` is not called for."""
        self.is_ended = not more
        self.room = self.writer.segment_bytes if more else -1

    def tell(self) -> bool:
        """Let an agent know of a record that it does not wait for, by the directory's time; False where the segment is to be sealed."""
        if not self.is_ended or self.size > self.writer.segment_bytes:
            return False
        durable.touch(self.directory)
        return True

    def _create(self) -> tuple[str, int]:
        while True:
            path = os.path.join(self.directory, layout.segment_name(self.writer.epoch, self._n))
            try:
                return path, durable.clear_of_streams(os.open(path, _FLAGS, durable.FILE_MODE))
            except FileExistsError:
                self._n += 1  # left by a try that was interrupted
            except FileNotFoundError:
                # someone removed the directory: what is logged from now on is worth a new one
                self.is_open = False
                self.open()

    def _header(self, next_step: int | None) -> str:
        told = {"epoch": self.writer.epoch, "n": self._n, "attempt": self.attempt, "claim": self.claim}
        return headers.text(self.manifest, {**told, "boot_id": self.writer.boot_id, "at": self.writer.now()}, next_step)

    def write(self, line: bytes) -> None:
        try:
            durable.write_once(self.fd, line)
        except BaseException:
            self.is_torn = True
            raise
        self.size += len(line)

    def seal(self) -> bool:
        """Leave the open segment, also one with a torn line: what is in it stays readable. False when it is to be written again."""
        fd, self.fd, self.is_torn = self.fd, -1, False
        self.unsynced.files.append(self.path)
        try:
            os.close(fd)
        except OSError as error:
            # a file server may refuse only now what write() was let have: as after a failed fsync
            self.unsynced.refuse([self.path], error)
            return False
        return True
