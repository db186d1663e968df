"""What was deleted goes for good once the time to undo it is over: all its content. Its row stays, emptied, and answers 410 for ever.

In steps of some thousand rows or a few files each, so that nobody who writes waits long, and for no file at all
(`removals`). A file goes when no run shows it any more, and not while somebody may be sending the same bytes just now: then
its run waits for the next time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Table, delete, select, text, update

from tracehoused.house.errors import Refusal, StorageFailure
from tracehoused.house.store import removals
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
_MEDIA = 16
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
    """Everything that was deleted so long ago, and answers to requests of long ago, or, not `aged`, only what is to go without
    waiting. May take long; other writes go between its steps, after any of which it stops when it is told to. A run that cannot
    go now is logged and waits for the next time."""
    store.write(partial(removals.forget_old, now_us=store.now_us()), (_PURGE,)).result()
    if aged:
        store.forget_old_requests(stopping)
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
    """One portion of a run; whether there is more to do for it now."""
    some = select(media.c.sha256).where(media.c.run == run).order_by(media.c.n).limit(_MEDIA)
    hashes = store.read(lambda connection: connection.execute(some).scalars().all())
    names = _PURGE, *(named("blob", sha256) for sha256 in hashes)
    step = partial(_run_step, run=run, before_us=before_us, hashes=set(hashes), now_us=store.now_us())
    portion = store.write(step, names).result()
    gone, doubtful, failure = _remove(files, portion.going)
    if portion.going:
        end = partial(_end_step, run=run, going=portion.going - doubtful, gone=gone, now_us=store.now_us())
        store.write(end, names).result()
    if failure is not None:
        raise failure
    return portion.more and gone == portion.going


def _remove(files: Files, hashes: set[str]) -> tuple[set[str], set[str], Exception | None]:
    """What is gone, what may yet go since its store did not answer, and why not all is."""
    gone: set[str] = set()
    failure: Exception | None = None
    for sha256 in sorted(hashes):
        try:
            if files.forget(sha256):
                gone.add(sha256)
        except OSError as error:
            failure = error
        except StorageFailure as error:
            return gone, {sha256}, error
    return gone, set(), failure


class _Portion(NamedTuple):
    """Whether there is more to do for a run, once the files that are ``going`` have been removed."""

    more: bool
    going: set[str]


def _run_step(connection: Connection, *, run: int, before_us: int, hashes: set[str], now_us: int) -> _Portion:
    deleted_us = connection.execute(select(runs.c.deleted_us).where(runs.c.pk == run)).scalar()
    if deleted_us is None or not PURGED < deleted_us < before_us:
        return _Portion(False, set())
    with _overwriting(connection):
        return _portion(connection, run, hashes, now_us)


def _portion(connection: Connection, run: int, hashes: set[str], now_us: int) -> _Portion:
    if _traces_step(connection, where=(traces.c.run == run, traces.c.deleted_us > PURGED)):
        return _Portion(True, set())
    first = connection.execute(select(series.c.id).where(series.c.run == run).limit(1)).scalar()
    if first is not None:
        _series_step(connection, first)
        return _Portion(True, set())
    if hashes:
        unused = {sha256 for sha256 in hashes if not _is_shown_elsewhere(connection, run, sha256)}
        connection.execute(delete(media).where(media.c.run == run, media.c.sha256.in_(hashes - unused)))
        going = removals.begin(connection, unused, now_us)
        return _Portion(going == unused, going)
    connection.execute(delete(artifacts).where(artifacts.c.run == run))
    _unshare(connection, "run", [run])
    connection.execute(update(runs).where(runs.c.pk == run).values(**_NO_RUN, name="", deleted_us=PURGED))
    return _Portion(False, set())


def _end_step(connection: Connection, *, run: int, going: set[str], gone: set[str], now_us: int) -> None:
    with _overwriting(connection):
        connection.execute(delete(media).where(media.c.run == run, media.c.sha256.in_(gone)))
    removals.end(connection, going, gone, now_us)


def _is_shown_elsewhere(connection: Connection, run: int, sha256: str) -> bool:
    other = select(media.c.n).where(media.c.sha256 == sha256, media.c.run != run).limit(1)
    return connection.execute(other).first() is not None


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
