"""What was deleted goes for good once the time to undo it is over: all its content. Its row stays, emptied, and answers 410 for ever.

In steps of some thousand rows or a few files each, so that nobody who writes waits long. A file goes when no run shows it any more, and not
while somebody may be sending the same bytes just now: then its run waits for the next time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, Table, delete, select, text, update

from tracehoused.house.errors import Refusal, StorageFailure
from tracehoused.house.store.once import named
from tracehoused.house.store.schema import (
    artifacts,
    media,
    odd_values,
    points,
    rollups,
    runs,
    series,
    shares,
    spans,
    traces,
)
from tracehoused.house.store.store import Store

log = logging.getLogger("tracehouse.house")
UNDO_US = 7 * 24 * 3600 * 1_000_000
# `deleted_us` of what is gone for good, and of what is to go without waiting.
PURGED = 0
NOW = 1
_ROWS = 20_000
_TRACES = 200
# The files of a step are removed while everybody who writes waits, and may be far away.
_MEDIA = 4
# One house at a time: two that remove runs with a file in common would each leave it to the other.
_PURGE = named("purge")
_NO_RUN: dict[str, Any] = dict.fromkeys(
    ("project", "config", "hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision", "extra", "hostname")
)
_NO_TRACE: dict[str, Any] = dict.fromkeys(
    ("project", "task_name", "model", "metadata", "extra", "reward", "reward_group", "outcome", "hostname")
)


class Files(Protocol):
    """Where media are kept; False where a file was sent again just now and stays for the time being."""

    def forget(self, sha256: str) -> bool: ...


def check_undo(deleted_us: int, now_us: int) -> None:
    """Refusal 410 where content is going or gone."""
    if deleted_us < now_us - UNDO_US:
        raise Refusal(410, "deleted", "the time to undo this is over")


def purge(store: Store, files: Files, stopping: Callable[[], bool] = lambda: False, *, aged: bool = True) -> None:
    """Everything that was deleted so long ago, or, not `aged`, only what is to go without waiting. May take long; other
    writes go between its steps, after any of which it stops when it is told to. A run that cannot go now is logged and
    waits for the next time."""
    before_us = store.now_us() - UNDO_US if aged else NOW + 1
    gone = runs.c.deleted_us > PURGED, runs.c.deleted_us < before_us
    for pk in store.read(lambda connection: connection.execute(select(runs.c.pk).where(*gone)).scalars().all()):
        try:
            while not stopping() and _next_step(store, files, pk, before_us):
                pass
        except (OSError, StorageFailure) as error:
            log.warning("a run that was deleted could not be removed, it is tried again: %s", error)
    old = traces.c.deleted_us > PURGED, traces.c.deleted_us < before_us
    some = select(traces.c.pk).where(*old).limit(_TRACES)
    while not stopping() and (pks := store.read(lambda connection: connection.execute(some).scalars().all())):
        store.write(partial(_traces_step, where=(*old, traces.c.pk.in_(pks))), (_PURGE,)).result()


def _next_step(store: Store, files: Files, run: int, before_us: int) -> bool:
    """One portion of a run; whether there is more to do for it now. Nobody names its files while they are removed."""
    some = select(media.c.sha256).where(media.c.run == run).order_by(media.c.n).limit(_MEDIA)
    hashes = store.read(lambda connection: connection.execute(some).scalars().all())
    step = partial(_run_step, run=run, before_us=before_us, files=files, hashes=hashes)
    return store.write(step, (_PURGE, *(named("blob", sha256) for sha256 in hashes))).result()


def _run_step(connection: Connection, *, run: int, before_us: int, files: Files, hashes: Sequence[str]) -> bool:
    deleted_us = connection.execute(select(runs.c.deleted_us).where(runs.c.pk == run)).scalar()
    if deleted_us is None or not PURGED < deleted_us < before_us:
        return False
    with _overwriting(connection):
        return _portion(connection, run, files, hashes)


def _portion(connection: Connection, run: int, files: Files, hashes: Sequence[str]) -> bool:
    if _traces_step(connection, where=(traces.c.run == run, traces.c.deleted_us > PURGED)):
        return True
    first = connection.execute(select(series.c.id).where(series.c.run == run).limit(1)).scalar()
    if first is not None:
        _series_step(connection, first)
        return True
    if hashes:
        free = [sha256 for sha256 in set(hashes) if _is_free(connection, run, sha256, files)]
        connection.execute(delete(media).where(media.c.run == run, media.c.sha256.in_(free)))
        return len(free) == len(set(hashes))
    connection.execute(delete(artifacts).where(artifacts.c.run == run))
    _unshare(connection, "run", [run])
    connection.execute(update(runs).where(runs.c.pk == run).values(**_NO_RUN, name="", deleted_us=PURGED))
    return False


def _is_free(connection: Connection, run: int, sha256: str, files: Files) -> bool:
    """Whether a run's medium can go: another run shows the file too, or the file has gone now."""
    other = select(media.c.n).where(media.c.sha256 == sha256, media.c.run != run).limit(1)
    return connection.execute(other).first() is not None or files.forget(sha256)


def _series_step(connection: Connection, number: int) -> None:
    bound = select(points.c.step).where(points.c.series == number).order_by(points.c.step).offset(_ROWS).limit(1)
    step = connection.execute(bound).scalar()
    if step is not None:
        connection.execute(delete(points).where(points.c.series == number, points.c.step <= step))
        return
    for table in (points, odd_values, rollups):
        connection.execute(delete(table).where(table.c.series == number))
    connection.execute(delete(series).where(series.c.id == number))


def _traces_step(connection: Connection, *, where: Iterable[Any]) -> bool:
    pks = connection.execute(select(traces.c.pk).where(*where).limit(_TRACES)).scalars().all()
    if pks:
        with _overwriting(connection):
            some = select(spans.c.n).where(spans.c.trace.in_(pks)).limit(_ROWS)
            if connection.execute(delete(spans).where(spans.c.n.in_(some))).rowcount == _ROWS:
                return True
            _unshare(connection, "trace", pks)
            connection.execute(update(traces).where(traces.c.pk.in_(pks)).values(**_NO_TRACE, deleted_us=PURGED))
    return bool(pks)


def _unshare(connection: Connection, kind: str, targets: Iterable[int]) -> None:
    connection.execute(delete(shares).where(shares.c.kind == kind, shares.c.target.in_(list(targets))))


@contextmanager
def _overwriting(connection: Connection) -> Iterator[None]:
    """SQLite leaves what was deleted in its file unless it is told to overwrite it, which costs: here it is worth that."""
    if connection.dialect.name != "sqlite":
        yield
        return
    before = connection.execute(text("PRAGMA secure_delete")).scalar_one()
    connection.execute(text("PRAGMA secure_delete = 1"))
    try:
        yield
    finally:
        connection.execute(text(f"PRAGMA secure_delete = {int(before)}"))


def condemn(connection: Connection, table: Table, target_id: str) -> None:
    """What was deleted is to go for good without waiting, a run with its rollouts."""
    row = connection.execute(select(table).where(table.c.id == target_id)).first()
    if row is not None and (row.deleted_us or PURGED) > PURGED:
        connection.execute(update(table).where(table.c.pk == row.pk).values(deleted_us=NOW))
