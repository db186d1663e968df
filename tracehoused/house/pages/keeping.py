"""Keeping house: keys, links, what was deleted, the disk, agents, and claiming what was sent anonymously."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tracehoused.house.api.identify import keeper
from tracehoused.house.api.receive import read_body
from tracehoused.house.errors import Refusal, invalid
from tracehoused.house.pages.answer import look_up, shown, wanted
from tracehoused.house.pages.render import page
from tracehoused.house.state import house_of
from tracehoused.house.store import keeping, purging, runs, schema, traces
from tracehoused.house.store.once import Caller, named
from tracehoused.house.values import iso

_LARGEST_FORM = 16 * 1024
_LONGEST_LABEL = 200
# An agent that sends says so at least this often while there is anything to send.
_QUIET_US = 15 * 60 * 1_000_000


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form that the house's own page sent, from a browser of the owner's; Refusal 401 or 403."""
    await keeper(request)
    body = await read_body(request, _LARGEST_FORM)
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


async def _owner(request: Request) -> Caller:
    def same(_connection: Connection, caller: Caller) -> Caller:
        if not caller.owner:
            raise Refusal(403, "forbidden", "only the owner keeps the house")
        return caller

    return await look_up(request, same)


async def _keys_page(request: Request, made: dict[str, Any] | None = None) -> Response:
    found = await run_in_threadpool(house_of(request).auth.keys)
    listed = [
        {
            "digest": row.digest,
            "label": row.label,
            "scope": row.scope,
            "identity": row.identity,
            "at": iso(row.created_us),
        }
        for row in found
    ]
    return page("keys.html", keys=listed, made=made)


@shown
async def keys(request: Request) -> Response:
    await _owner(request)
    return await _keys_page(request)


@shown
async def new_key(request: Request) -> Response:
    form = await _form(request)
    scope, label = form.get("scope", "write"), form.get("label", "").strip()[:_LONGEST_LABEL]
    if scope not in ("write", "read"):
        raise invalid("a key is to write or to read")
    secret = await run_in_threadpool(house_of(request).auth.new_key, label, scope)
    return await _keys_page(request, {"secret": secret, "label": label, "scope": scope, "house": _address(request)})


def _address(request: Request) -> str:
    """By what this house was reached."""
    return str(request.base_url).rstrip("/")


@shown
async def revoke_key(request: Request) -> Response:
    form = await _form(request)
    await run_in_threadpool(house_of(request).auth.revoke, form.get("key", ""))
    return RedirectResponse("/keys", 303)


async def _shares_page(request: Request, made: dict[str, Any] | None = None) -> Response:
    found = await run_in_threadpool(house_of(request).shares.listed)
    now_us = house_of(request).store.now_us()
    listed = [
        {
            "digest": row.digest,
            "kind": row.kind,
            "name": row.name,
            "href": f"/{row.kind[0]}/{row.id}",
            "at": iso(row.created_us),
            "until": None if row.expires_us is None else iso(row.expires_us),
            "over": row.expires_us is not None and row.expires_us < now_us,
        }
        for row in found
        if row.id is not None
    ]
    return page("shares.html", shares=listed, made=made)


@shown
async def shares(request: Request) -> Response:
    await _owner(request)
    return await _shares_page(request)


@shown
async def new_share(request: Request) -> Response:
    form, caller = await _form(request), await keeper(request)
    kind, target, days = form.get("kind", ""), form.get("id", ""), form.get("days", "")
    if kind not in ("run", "trace") or days not in ("", "1", "7", "30"):
        raise invalid("a link is for a run or a trace, and for 1, 7 or 30 days or until it is revoked")
    made = house_of(request).shares.make
    token = await run_in_threadpool(made, caller, kind, target, int(days) if days else None)
    href = f"{_address(request)}/{kind[0]}/{target}?t={token}"
    return await _shares_page(request, {"href": href, "kind": kind, "days": days})


@shown
async def revoke_share(request: Request) -> Response:
    form = await _form(request)
    await run_in_threadpool(house_of(request).shares.revoke, form.get("share", ""))
    return RedirectResponse("/shares", 303)


@shown
async def deleted(request: Request) -> Response:
    await _owner(request)
    found = await look_up(request, lambda connection, _caller: keeping.deleted(connection))
    now = wanted(request, "now")
    listed = [
        {**one, "at": iso(one["us"]), "left": _left(one["us"], house_of(request).store.now_us())} for one in found
    ]
    return page("deleted.html", deleted=listed, now=now)


def _left(deleted_us: int, now_us: int) -> float:
    """Seconds for which something can be brought back."""
    return max(0.0, (deleted_us + purging.UNDO_US - now_us) / 1_000_000)


@shown
async def delete(request: Request) -> Response:
    _, target = await _change(request, {"run": runs.delete_run, "trace": traces.delete_trace})
    return RedirectResponse(f"/deleted?now={target}" if target.isalnum() else "/deleted", 303)


@shown
async def restore(request: Request) -> Response:
    kind, target = await _change(request, {"run": runs.restore_run, "trace": traces.restore_trace})
    return RedirectResponse(f"/{'r' if kind == 'run' else 't'}/{target}" if target.isalnum() else "/deleted", 303)


async def _change(request: Request, by_kind: dict[str, Callable[..., object]]) -> tuple[str, str]:
    """Change what a form names; its (kind, id)."""
    form, caller = await _form(request), await keeper(request)
    kind, target = "run" if form.get("kind") == "run" else "trace", form.get("id", "")
    house, now_us = house_of(request), house_of(request).store.now_us()

    def change(connection: Connection) -> None:
        by_kind[kind](connection, caller, target, now_us)

    await run_in_threadpool(lambda: house.store.write(change, (named("id", target),)).result())
    return kind, target


@shown
async def purge(request: Request) -> Response:
    """What was deleted goes for good now."""
    form, house = await _form(request), house_of(request)
    table, target = (schema.runs if form.get("kind") == "run" else schema.traces), form.get("id", "")

    def change(connection: Connection) -> None:
        purging.condemn(connection, table, target)

    await run_in_threadpool(lambda: house.store.write(change, (named("id", target),)).result())
    house.purger.look_now()
    return RedirectResponse("/deleted", 303)


@shown
async def disk(request: Request) -> Response:
    await _owner(request)
    listed = await look_up(request, lambda connection, _caller: keeping.media_by_run(connection))
    used = await run_in_threadpool(house_of(request).used)
    most = max((row.bytes for row in listed), default=0)
    return page("disk.html", runs=listed, most=most, used=used)


@shown
async def agents(request: Request) -> Response:
    await _owner(request)
    house = house_of(request)
    found = await run_in_threadpool(house.agents.listed)
    now_us = house.store.now_us()
    listed = [
        {
            **{
                name: getattr(row, name)
                for name in ("machine", "hostname", "version", "last", "requests", "pending", "dead")
            },
            "oldest": row.oldest,
            "seen": iso(row.seen_us),
            "identity": row.identity,
            "quiet": bool(row.pending) and now_us - row.seen_us > _QUIET_US,
        }
        for row in found
    ]
    return page("agents.html", agents=listed)


@shown
async def claim(request: Request) -> Response:
    await _owner(request)
    token = wanted(request, "token") or ""
    found = await run_in_threadpool(house_of(request).shares.claimable, token)
    return page("claim.html", 200 if found else 404, found=found, token=token, done=False)


@shown
async def claim_now(request: Request) -> Response:
    form = await _form(request)
    found = await run_in_threadpool(house_of(request).shares.claim, form.get("token", ""))
    return page("claim.html", found=found, token="", done=True)
