"""What was written and may not be on the disk yet: files, and the directories that name them."""

from __future__ import annotations

import os

from tracehouse.spool import durable


class Unsynced:
    """Files are synced in order, then each directory once."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self._dirs: list[str] = []
        self._refused: dict[str, OSError] = {}

    def add_first(self, path: str) -> None:
        """A file that records to come will name, in a directory of its own in the session's."""
        self.files.insert(0, path)
        parent = os.path.dirname(path)
        self.add_dirs(parent, os.path.dirname(parent))

    def add_refused(self, path: str, error: OSError) -> None:
        """A file whose close failed: the disk may not have what was written to it, and a later sync would not say so."""
        self.files.append(path)
        self._refused[path] = error

    def add_dirs(self, *dirs: str) -> None:
        self._dirs += [directory for directory in dirs if directory not in self._dirs]

    def take(self) -> Unsynced:
        """All of it, for a sync to try; what comes meanwhile is for the next."""
        taken = Unsynced()
        taken.files, self.files = self.files, []
        taken._dirs, self._dirs = self._dirs, []
        taken._refused, self._refused = self._refused, {}
        return taken

    def add(self, taken: Unsynced) -> None:
        """All of it again, after a sync that was interrupted."""
        self.files = [*taken.files, *self.files]
        self.add_dirs(*taken._dirs)
        self._refused.update(taken._refused)

    def put_back(self, taken: Unsynced, current: str) -> None:
        """After a failed sync of ``taken`` and an open segment: all but segments, which are abandoned."""
        self.files = [*(path for path in taken.files if not _is_segment(path)), *self.files]
        self.files = [path for path in self.files if path != current]
        self.add_dirs(*taken._dirs)

    def in_doubt(self, current: str, start: int) -> list[tuple[str, int]]:
        """After a failed sync of this and of an open segment ("": none) from an offset on: which segments, from where."""
        found = [(path, 0) for path in self.files if _is_segment(path)]
        return [*found, (current, start)] if current else found

    def sync(self, fd: int) -> None:
        """Wait for the disk; ``fd`` (unless negative) is an open file that comes between files and directories. OSError."""
        for path in self.files:
            if path in self._refused:
                raise self._refused[path]
            durable.sync_file(path)
        if fd >= 0:
            durable.sync_data(fd)
        for directory in self._dirs:
            try:
                durable.sync_dir(directory)
            except FileNotFoundError:
                continue  # removed by someone: there are no names in it to keep


def _is_segment(path: str) -> bool:
    return path.endswith(".jsonl")
