"""What a house keeps, its database's content and its media, and whether that was changed."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path


class State:
    """Of the house on a directory, while it runs. Which agents were seen last is written down whatever came: that is aside."""

    def __init__(self, data: Path) -> None:
        self._media = data / "media"
        self._before, self._now = (_opened(data / "house.db") for _ in range(2))
        self.renew()

    def renew(self) -> None:
        """What is there now is what it is compared with: held as it is, in a transaction that reads."""
        if self._before.in_transaction:
            self._before.execute("ROLLBACK")
        self._before.execute("BEGIN")
        self._seen, self._files = self._version(), _kept(self._media)
        _tables(self._before)

    def changed(self) -> bool:
        """Since ``renew``, or since it was asked and had."""
        kept = _kept(self._media) == self._files
        if kept and self._version() == self._seen:
            return False
        differ = not kept or _of_database(self._before) != _of_database(self._now)
        self.renew()
        return differ

    def digest(self) -> str:
        """Of every row of every table, and of every file's name and bytes."""
        total = hashlib.sha256(_of_database(self._now).encode())
        for path in sorted(self._media.rglob("*")):
            total.update(f"\n{path.relative_to(self._media)} ".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"")
        return total.hexdigest()

    def _version(self) -> int:
        return int(self._now.execute("PRAGMA data_version").fetchone()[0])


def _opened(path: Path) -> sqlite3.Connection:
    """To be read by whichever thread, one at a time."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)


def _kept(media: Path) -> set[tuple[str, int]]:
    """Media, also such as arrive, by path and size."""
    return {(str(path), path.stat().st_size) for path in media.rglob("*") if path.is_file()}


def _tables(database: sqlite3.Connection) -> list[str]:
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for (name,) in names if name != "agents"]


def _of_database(database: sqlite3.Connection) -> str:
    total = hashlib.sha256()
    for name in _tables(database):
        # the names are the database's own
        for row in database.execute(f'SELECT * FROM "{name}"'):  # noqa: S608
            total.update(f"{name} {row!r}\n".encode("utf-8", "surrogatepass"))
    return total.hexdigest()
