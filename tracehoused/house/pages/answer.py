"""What every page does: ask the store as the one who is signed in, and show a refusal as a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.identify import reader
from tracehoused.house.errors import Refusal
from tracehoused.house.pages.render import page
from tracehoused.house.pages.sharing import FOLLOWS, TOKEN
from tracehoused.house.state import house_of
from tracehoused.house.store.once import Caller

T = TypeVar("T")
_PAGES = CapacityLimiter(4)
View = Callable[[Request], Awaitable[Response]]


def shown(view: View) -> View:
    """A refusal in a page is a page; who is not signed in gets the form."""

    async def show(request: Request) -> Response:
        try:
            answer = await view(request)
            if "t" in request.query_params:
                # The token is in this page's address, which no other site is to learn.
                answer.headers["Referrer-Policy"] = "no-referrer"
            return answer
        except Refusal as refusal:
            if refusal.status == 401:
                # The same whatever the link named: who has none that opens it does not learn whether it is there.
                return page("signin.html", 401, problem=None, next=request.url.path, ended="t" in request.query_params)
            return problem(refusal.status, refusal.message)

    return show


def problem(status: int, message: str) -> Response:
    """A page that says what is wrong, and where to go."""
    return page("problem.html", status, message=message.rstrip("."), code=status)


async def page_beside(make: Callable[[], Response]) -> Response:
    """A page made in a thread, a few at once: one with much text of others takes seconds, in which the house goes on, which has threads
    for that left."""
    return await to_thread.run_sync(make, limiter=_PAGES)


async def look_up(request: Request, query: Callable[[Connection, Caller], T]) -> T:
    """What `query` finds, in a thread and one read transaction; Refusal 401 or 403 where the caller may not read."""
    caller = await reader(request)
    TOKEN.set(getattr(request.state, "shared", None))
    FOLLOWS.set(house_of(request).options.follows)
    return await run_in_threadpool(house_of(request).store.read, lambda connection: query(connection, caller))


def wanted(request: Request, name: str) -> str | None:
    """A query parameter; None where it is absent or empty, as forms send it."""
    found: Any = request.query_params.get(name)
    return found or None
