"""`POST /v1/runs`, `PATCH /v1/runs/<id>`, and a run's metrics, artifacts and media."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house import training
from tracehoused.house.api.change import Change, change_json, commit
from tracehoused.house.api.identify import writer
from tracehoused.house.api.receive import check_length, digest_of, once_of, promised_sha256, query_of
from tracehoused.house.errors import Refusal, StorageFailure
from tracehoused.house.mediastore import Arriving
from tracehoused.house.state import House, house_of
from tracehoused.house.store import points, removals, runs
from tracehoused.house.store.once import Once, check_once, named

_PART = 256 * 1024


async def post_run(request: Request) -> Response:
    def apply(connection: Connection, change: Change[training.NewRun]) -> dict[str, Any]:
        run_id, created = runs.put_run(connection, change.caller, change.body, change.now_us)
        return {"id": run_id, "created": created}

    def known(connection: Connection, change: Change[training.NewRun]) -> dict[str, Any]:
        run_id = runs.find_run(connection, change.caller, change.body.client_run_id)
        return apply(connection, change) if run_id is None else {"id": run_id, "created": False}

    return await change_json(request, "runs", lambda body, _: training.new_run(body), apply, known)


async def patch_run(request: Request) -> Response:
    run_id = request.path_params["id"]

    def apply(connection: Connection, change: Change[training.RunPatch]) -> dict[str, Any]:
        runs.patch_run(connection, change.caller, run_id, change.body, change.now_us)
        return {"id": run_id}

    def known(connection: Connection, change: Change[training.RunPatch]) -> dict[str, Any]:
        runs.run_row(connection, change.caller, run_id)
        return {"id": run_id}

    return await change_json(request, "run_patch", lambda body, _: training.run_patch(body), apply, known)


async def post_metrics(request: Request) -> Response:
    run_id = request.path_params["id"]

    def apply(connection: Connection, change: Change[training.Points]) -> dict[str, Any]:
        row = runs.run_row(connection, change.caller, run_id, lock=True)
        points.put_points(connection, row, change.once, change.body)
        return {"ingested": change.body.count - change.body.dropped, "dropped": change.body.dropped}

    def known(connection: Connection, change: Change[training.Points]) -> dict[str, Any]:
        runs.run_row(connection, change.caller, run_id)
        return {"ingested": change.body.count, "dropped": 0}

    return await change_json(request, "metrics", training.points, apply, known)


async def post_artifact(request: Request) -> Response:
    run_id = request.path_params["id"]

    def apply(connection: Connection, change: Change[training.NewArtifact]) -> dict[str, Any]:
        row = runs.run_row(connection, change.caller, run_id)
        artifact_id = runs.add_artifact(connection, row.pk, change.once, change.body, change.now_us)
        return {"id": artifact_id, "name": change.body.name}

    def known(connection: Connection, change: Change[training.NewArtifact]) -> dict[str, Any]:
        runs.run_row(connection, change.caller, run_id)
        return {"name": change.body.name}

    return await change_json(request, "artifacts", lambda body, _: training.new_artifact(body), apply, known)


async def post_media(request: Request) -> Response:
    """The bytes go to disk first; the row that names them makes them part of the run."""
    house, run_id = house_of(request), request.path_params["id"]
    caller, once = await writer(request), once_of(request, "media")
    new = training.new_media(query_of(request), request.headers.get("content-type"))
    with house.in_flight.begin(caller.identity, once.key) as turn:
        check_length(request, house.blobs.limit)

        def told(sha256: str) -> Once:
            return replace(once, digest=digest_of(request, sha256))

        arrival = _Arrival(
            house,
            lambda connection: runs.run_row(connection, caller, run_id),
            lambda connection, sha256: check_once(connection, caller, told(sha256)),
            promised_sha256(request),
        )
        sha256, size = await _receive(request, arrival, turn.take)
        stored: dict[str, Any] = {"sha256": sha256, "size": size}

        def apply(connection: Connection, change: Change[training.NewMedia]) -> dict[str, Any]:
            row = runs.run_row(connection, caller, run_id)
            # A run that went for good just now may have taken the file with it, which this request found there.
            removals.check(connection, sha256, arrival.since, house.store.now_us())
            if house.blobs.is_lost(sha256):
                raise _removed()
            media_id = runs.add_media(connection, row.pk, change.once, change.body, sha256, size, change.now_us)
            return {"id": media_id, **stored}

        def known(connection: Connection, _change: Change[training.NewMedia]) -> dict[str, Any]:
            runs.run_row(connection, caller, run_id)
            return stored

        change = Change(caller, told(sha256), house.store.now_us(), new)
        return await commit(request, change, apply, known, (named("blob", sha256),))


class _Arrival:
    """A medium that is received: what of it blocks. `since`: how many files had gone before this one was seen to be there.
    Refusals: of `check` before anything is written; of `check_whole`, which is given its SHA-256, and where that is not the one that
    was `promised`, before it is kept: no run would come to name it."""

    def __init__(
        self,
        house: House,
        check: Callable[[Connection], object],
        check_whole: Callable[[Connection, str], None],
        promised: str | None,
    ) -> None:
        self._store, self._blobs = house.store, house.blobs
        self._check, self._check_whole = check, check_whole
        self._promised = promised
        self._incoming: Arriving | None = None
        self.since = 0

    def take(self, data: bytes, is_last: bool) -> tuple[str, int] | None:
        """The next part; of the last one (sha256, size)."""
        try:
            if self._incoming is None:
                self.since = self._store.read(self._look)
                self._incoming = self._blobs.begin()
            self._incoming.add(data)
            return self._keep(self._incoming) if is_last else None
        except OSError as error:
            raise StorageFailure(str(error)) from error

    def _look(self, connection: Connection) -> int:
        self._check(connection)
        return removals.so_far(connection)

    def _keep(self, incoming: Arriving) -> tuple[str, int]:
        sha256 = incoming.sha256()
        if self._promised not in (None, sha256):
            raise Refusal(
                400, "content_digest", f"the body has not the SHA-256 {self._promised}, which Content-Digest told"
            )
        self._store.read(lambda connection: self._check_whole(connection, sha256))
        kept = incoming.keep()
        if self._blobs.missing([kept[0]]):
            raise _removed()
        return kept

    def discard(self) -> None:
        if self._incoming is not None:
            self._incoming.discard()


def _removed() -> StorageFailure:
    return StorageFailure("the file was removed meanwhile; send it again")


async def _receive(request: Request, arrival: _Arrival, arrived: Callable[[], None]) -> tuple[str, int]:
    """In parts so large that most pictures are one: each is a way to another thread and back. `arrived` is called when all is here, and
    not yet kept."""
    parts: list[bytes] = []
    held = 0
    try:
        async for data in request.stream():
            parts.append(data)
            held += len(data)
            if held >= _PART:
                await run_in_threadpool(arrival.take, b"".join(parts), False)
                parts, held = [], 0
        arrived()
        kept = await run_in_threadpool(arrival.take, b"".join(parts), True)
        assert kept is not None
        return kept
    except BaseException:
        arrival.discard()
        raise


async def push_model_card(request: Request) -> Response:
    await writer(request)
    raise Refusal(501, "not_here", "a house does not push model cards; download model_card.md instead")
