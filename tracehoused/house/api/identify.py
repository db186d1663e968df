"""Who sends a request, and whether the browser that carries a cookie meant to."""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from tracehoused.house.auth import Auth, Principal
from tracehoused.house.errors import Refusal, malformed
from tracehoused.house.state import house_of
from tracehoused.house.store.once import Caller

_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MACHINE = "x-claude-monitor-machine-id"
_HOSTNAME = "x-claude-monitor-hostname"
_VERSION = "x-claude-monitor-agent-version"
_LONGEST_NAME = 512


async def reader(request: Request) -> Caller:
    """The caller, if it may read; Refusal 401 or 403. A link's token, `?t=`, opens what it was made for."""
    shared = await _shared(request)
    if shared is not None:
        return shared
    principal = await _principal(request)
    if principal.scope not in ("write", "read", "browser"):
        raise Refusal(403, "forbidden", "this key does not open what was asked for")
    caller = _caller(request, principal)
    if principal.scope == "write" and "x-tracehouse-pending" in request.headers:
        # an agent with nothing to send asks for nothing, to tell this
        house_of(request).agents.note(caller, _what(request.url.path), request.headers)
    return caller


async def writer(request: Request) -> Caller:
    """The caller, if it may write; Refusal 401 or 403."""
    principal = await _principal(request)
    if principal.scope not in ("write", "browser"):
        raise Refusal(403, "read_only", "this key can only read")
    caller = _caller(request, principal)
    if principal.scope == "write":
        house_of(request).agents.note(caller, _what(request.url.path), request.headers)
    return caller


def _what(path: str) -> str:
    """What a path of the interface is about: traces, spans, runs, metrics, media, artifacts."""
    parts = path.split("/")
    return parts[4] if len(parts) > 4 else parts[2] if len(parts) > 2 else parts[-1]


async def keeper(request: Request) -> Caller:
    """The owner at a browser of theirs, who alone may make keys and links; a job's key may not. Refusal 401 or 403."""
    principal = await _principal(request)
    if not principal.owner or principal.scope != "browser":
        raise Refusal(403, "forbidden", "sign in with a browser to keep the house")
    return _caller(request, principal)


# What a link's token reaches: runs and traces by their ids, and what their pages load. Each still asks for the run or trace.
_SHARED = re.compile(r"/(?:[rt]/[^/]+(?:/.*)?|v1/(?:runs|traces|media)/[^/]+(?:/.*)?|live|data/\w+|download\.\w+)")


async def _shared(request: Request) -> Caller | None:
    """The caller that a link's token stands for, also an anonymous session's read token; None without one."""
    token = request.query_params.get("t")
    if not token or request.method not in ("GET", "HEAD") or "authorization" in request.headers:
        return None
    house = house_of(request)
    share = await run_in_threadpool(house.shares.find, token)
    found = None if share else await run_in_threadpool(house.auth.principal, token)
    if share is None and (found is None or found.owner or found.scope != "read"):
        return None
    if not _SHARED.fullmatch(request.url.path):
        raise Refusal(403, "forbidden", "this link shows one run or trace, not the whole house")
    request.state.shared = token
    return Caller(found.identity if found else "", "read", False, share=share)


async def _principal(request: Request) -> Principal:
    auth = house_of(request).auth
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        found = await _found(auth, secret.strip()) if scheme.lower() == "bearer" else None
        if found is None or found.scope == "browser":
            raise Refusal(401, "unauthorized", "the key is not one of this house's")
        return found
    cookie = request.cookies.get(auth.cookie)
    found = await _found(auth, cookie) if cookie else None
    if found is None or found.scope != "browser":
        raise Refusal(401, "unauthorized", "a key is needed: Authorization: Bearer ba_…")
    if request.method in _UNSAFE:
        check_origin(request)
    return found


async def _found(auth: Auth, secret: str) -> Principal | None:
    """Most are remembered, and then no other thread is waited for, which may be behind a busy one."""
    return auth.remembered(secret) or await run_in_threadpool(auth.principal, secret)


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
