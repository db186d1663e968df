"""The house's database: one writer, readers beside it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select, tuple_

from tracehoused.house.errors import FormatError, StorageFailure
from tracehoused.house.store import dialect, migrating, schema
from tracehoused.house.store.writer import Writer

__all__ = ["FormatError", "Store"]

T = TypeVar("T")
FORMAT = "1"
KEYS_LIVE_US = 90 * 24 * 3600 * 1_000_000
_PORTION = 5000


class Store:
    """Opens, and at the first start makes, the database at `url`, e.g. `sqlite:////var/lib/house/house.db`."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        address = dialect.database_url(url)
        self._write_engine = dialect.open_engine(address, writes=True)
        self._read_engine = dialect.open_engine(address, writes=False)
        with self._write_engine.begin() as connection:
            migrating.bring_up(connection)
            self.house_id = _house_id(connection)
        self._writer = Writer(self._write_engine)

    @property
    def own_file(self) -> bool:
        """Whether this process alone has the database."""
        return self._read_engine.dialect.name == "sqlite"

    def now_us(self) -> int:
        return int(self._clock() * 1_000_000)

    def write(self, change: Callable[[Connection], T], names: tuple[str, ...] = ()) -> Future[T]:
        """Run `change` in a transaction; its result comes once it is durable. Changes that share one of `names` run one
        after the other, in whatever processes of this house."""
        return self._writer.submit(change, names)

    def read(self, look: Callable[[Connection], T]) -> T:
        try:
            with self._read_engine.connect() as connection:
                return look(connection)
        except dialect.STORAGE_ERRORS as error:
            raise StorageFailure(str(error)) from error

    def forget_old_requests(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """In portions, between which others write."""
        this = tuple_(schema.requests.c.identity, schema.requests.c.key)
        old = schema.requests.c.created_us < self.now_us() - KEYS_LIVE_US
        portion = delete(schema.requests).where(
            this.in_(select(schema.requests.c.identity, schema.requests.c.key).where(old).limit(_PORTION))
        )
        while not stopping() and self.write(lambda connection: connection.execute(portion).rowcount).result():
            pass

    def file_size(self) -> int | None:
        """Bytes of the database's files; None where a server has it."""
        name = self._read_engine.url.database
        if not self.own_file or not name:
            return None
        return sum(os.path.getsize(name + end) for end in ("", "-wal") if os.path.exists(name + end))

    def close(self) -> None:
        self._writer.close()
        self._write_engine.dispose()
        self._read_engine.dispose()


def _house_id(connection: Connection) -> str:
    found = {row.name: row.value for row in connection.execute(select(schema.house))}
    if not found:
        found = {"format": FORMAT, "id": secrets.token_hex(4)}
        connection.execute(insert(schema.house), [{"name": name, "value": value} for name, value in found.items()])
    if found["format"] != FORMAT:
        raise FormatError(f"this house's data has format {found['format']}; this version reads format {FORMAT}")
    return str(found["id"])
