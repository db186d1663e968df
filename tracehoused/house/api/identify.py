"""Who sends a request, and whether the browser that carries a cookie meant to."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from tracehoused.house.auth import Principal
from tracehoused.house.errors import Refusal, malformed
from tracehoused.house.state import house_of
from tracehoused.house.store.once import Caller

_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MACHINE = "x-claude-monitor-machine-id"
_HOSTNAME = "x-claude-monitor-hostname"
_VERSION = "x-claude-monitor-agent-version"
_LONGEST_NAME = 512


async def reader(request: Request) -> Caller:
    """The caller, if it may read; Refusal 401 or 403."""
    principal = await _principal(request)
    if principal.scope not in ("write", "read", "browser"):
        raise Refusal(403, "forbidden", "this key does not open what was asked for")
    return _caller(request, principal)


async def writer(request: Request) -> Caller:
    """The caller, if it may write; Refusal 401 or 403."""
    principal = await _principal(request)
    if principal.scope not in ("write", "browser"):
        raise Refusal(403, "read_only", "this key can only read")
    return _caller(request, principal)


async def _principal(request: Request) -> Principal:
    auth = house_of(request).auth
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        found = await run_in_threadpool(auth.principal, secret.strip()) if scheme.lower() == "bearer" else None
        if found is None or found.scope == "browser":
            raise Refusal(401, "unauthorized", "the key is not one of this house's")
        return found
    cookie = request.cookies.get(auth.cookie)
    found = await run_in_threadpool(auth.principal, cookie) if cookie else None
    if found is None or found.scope != "browser":
        raise Refusal(401, "unauthorized", "a key is needed: Authorization: Bearer ba_…")
    if request.method in _UNSAFE:
        check_origin(request)
    return found


def check_origin(request: Request) -> None:
    """A cookie comes along with forms of other sites too; a write must come from a page of this one."""
    origin = request.headers.get("origin")
    if origin is not None:
        if origin.partition("://")[2] != request.headers.get("host"):
            raise Refusal(403, "cross_origin", "writes with a cookie must come from this house's own pages")
    elif request.headers.get("sec-fetch-site") != "same-origin":
        raise Refusal(403, "cross_origin", "writes with a cookie need an Origin header")


def _caller(request: Request, principal: Principal) -> Caller:
    machine, hostname, version = (request.headers.get(name) for name in (_MACHINE, _HOSTNAME, _VERSION))
    if any(len(value) > _LONGEST_NAME for value in (machine, hostname, version) if value):
        raise malformed(f"a machine, host name or version has more than {_LONGEST_NAME} characters")
    return Caller(principal.identity, principal.scope, principal.owner, machine or "unknown", hostname, version)
