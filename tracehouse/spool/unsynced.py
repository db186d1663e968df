"""What was written and may not be on the disk yet: files, and the directories that name them."""

from __future__ import annotations

import os
from collections import Counter

from tracehouse.spool import durable, layout


class Unsynced:
    """Files are synced in order, then each directory once. What a sync tries is copied, and taken off when it is done: one that is
    interrupted takes nothing away."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self._dirs: list[str] = []
        self._refused: dict[str, OSError] = {}
        self._doubted: set[str] = set()  # media that a sync failed for: one with their copies

    def add_first(self, path: str) -> None:
        """A file that records to come will name, in a directory of its own in the session's."""
        self.files.insert(0, path)
        parent = os.path.dirname(path)
        self.add_dirs(parent, os.path.dirname(parent))

    def add_dirs(self, *dirs: str) -> None:
        self._dirs += dirs

    def refuse(self, paths: list[str], error: OSError) -> None:
        """Files that the disk may not have as they were written, which a later sync would not say."""
        self._refused.update(dict.fromkeys(paths, error))

    def copy(self) -> Unsynced:
        """All of it, for a sync to try."""
        copied = Unsynced()
        copied.files, copied._dirs, copied._refused = list(self.files), list(self._dirs), dict(self._refused)
        copied._doubted = self._doubted
        return copied

    def take_off(self, done: Unsynced) -> None:
        """What a copy held is on the disk; what came since is not."""
        self.files, self._dirs = _without(self.files, done.files), _without(self._dirs, done._dirs)

    def in_doubt(self, current: str, start: int) -> list[tuple[str, int]]:
        """After a failed sync of this and of an open segment ("": none) from an offset on: which segments, from where."""
        found = [(path, 0) for path in self.files if _is_segment(path)]
        return [*found, (current, start)] if current else found

    def abandon(self, segments: list[str]) -> None:
        """What was in these is written again elsewhere."""
        self.files = [path for path in self.files if path not in segments]
        self._refused = {path: error for path, error in self._refused.items() if path not in segments}

    def sync(self, fd: int, path: str) -> list[str]:
        """Wait for the disk; ``fd`` (unless negative) is an open file, of this path, that comes between files and directories. OSError.

        Which media files are gone: no agent deletes them while their writer lives.
        """
        for one in (*self.files, path):
            if one in self._refused:
                raise self._refused[one]
        gone = [one for one in self.files if not self._sync_file(one)]
        if fd >= 0:
            durable.sync_data(fd)
        for directory in dict.fromkeys(self._dirs):
            try:
                durable.sync_dir(directory)
            except FileNotFoundError:
                continue  # removed by someone: there are no names in it to keep
        return [one for one in gone if _is_media(one)]

    def _sync_file(self, path: str) -> bool:
        """False for one that is gone, or is not any more what its name says."""
        if not _is_media(path):
            return durable.sync_file(path)
        try:
            done = _write_again(path) if path in self._doubted else durable.sync_file(path)
        except OSError:
            # what could not be written passes for clean from now on, and another sync of it for done
            self._doubted.add(path)
            raise
        self._doubted.discard(path)
        return done


def _without(those: list[str], these: list[str]) -> list[str]:
    gone = Counter(these)
    gone.subtract(those)
    # negative: how often it stands there more often than was done
    return [one for one in dict.fromkeys(those) for _ in range(-gone[one])]


def _write_again(path: str) -> bool:
    """A media file's content into a new one in its place, as far as it can still be read."""
    from hashlib import sha256

    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return False
    name = os.path.basename(path)
    if sha256(content).hexdigest() != name.partition(".")[0]:
        return False
    durable.replace(path, content, os.urandom(8).hex())
    return True


def _is_media(path: str) -> bool:
    return layout.is_media_name(os.path.basename(path))


def _is_segment(path: str) -> bool:
    return path.endswith(".jsonl")
