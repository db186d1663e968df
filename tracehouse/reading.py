"""A spool read back, for notebooks and scripts: ``cm.read("./spool")``. Nothing is changed, and damage costs only what it hits."""

from __future__ import annotations

import os

from tracehouse.exceptions import ArgumentError, ClaudeMonitorError, SpoolError
from tracehouse.recorded import RecordedSession
from tracehouse.spool import layout, places
from tracehouse.traces import Rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RecordedSession", "RecordedSpool", "Rows", "read"]


def read(path: str | os.PathLike[str] | None = None) -> RecordedSpool:
    """The sessions in a spool; by default the one that jobs write to here. ``path`` may be a single session's directory.

    A job may go on writing: what is asked of a session is read when it is asked. SpoolError when there is no such directory.

    >>> run = cm.init_run(client_run_id="night-7")
    >>> run.log({"loss": 0.5}, step=3)
    >>> [(row["step"], row["value"]) for row in cm.read()["night-7"].metrics("loss")]
    [(3, 0.5)]
    """
    chosen = os.path.abspath(os.path.expanduser(places.default_spool_dir() if path is None else os.fspath(path)))
    return RecordedSpool(chosen)


class RecordedSpool:
    """``path``; ``sessions`` in the order they were begun; ``unreadable``: why, by path, for those that cannot be read at all.

    It can be gone through, and asked for a session by its id: ``spool["run-001"]``.

    >>> run = cm.init(session_id="run-001")
    >>> spool = cm.read()
    >>> len(spool), spool["run-001"].kind, [session.id for session in spool], spool.unreadable
    (1, 'trace', ['run-001'], {})
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.sessions: list[RecordedSession] = []
        self.unreadable: dict[str, str] = {}
        for directory in _directories(path):
            try:
                self.sessions.append(RecordedSession(directory))
            except (OSError, ValueError, ClaudeMonitorError) as error:
                self.unreadable[directory] = str(error)
        self.sessions.sort(key=lambda session: (session.manifest.created_at, session.path))

    def __iter__(self) -> Iterator[RecordedSession]:
        return iter(self.sessions)

    def __len__(self) -> int:
        return len(self.sessions)

    def __getitem__(self, name: str | int) -> RecordedSession:
        """By id, the beginning of one that only one has, or number. KeyError, or ArgumentError where several match."""
        if isinstance(name, int):
            return self.sessions[name]
        found = [session for session in self.sessions if session.id == name]
        found = found or [session for session in self.sessions if session.id.startswith(name)]
        if not found:
            raise KeyError(name)
        if len(found) > 1:
            told = ", ".join(repr(session.id) for session in found[:10])
            raise ArgumentError(f"{name!r} could be any of {told}")
        return found[0]

    def __repr__(self) -> str:
        return f"<RecordedSpool {self.path!r}: {len(self.sessions)} sessions>"


def _directories(path: str) -> list[str]:
    if layout.is_session_dir(os.path.basename(path)):
        return [path]
    try:
        with os.scandir(path) as entries:
            return [e.path for e in entries if layout.is_session_dir(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise SpoolError(f"cannot read the spool: {error.strerror}", path=path) from error
