"""Signing a browser in: by the one-time link that `serve` prints, or by the key in a form; the session is a cookie."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tracehoused.house.api.identify import check_origin
from tracehoused.house.api.receive import read_body
from tracehoused.house.pages.render import page
from tracehoused.house.state import house_of

_LARGEST_FORM = 4096
_PAGE = re.compile(r"/(?:[rt]/[A-Za-z0-9_-]{1,64})?")


async def form(request: Request) -> Response:
    return _form_page(request, 200, None)


def _form_page(request: Request, status: int, problem: str | None) -> Response:
    return page("signin.html", status, problem=problem, next=request.query_params.get("next", "/"))


async def with_code(request: Request) -> Response:
    if request.method == "HEAD":  # a preview of the link, which must not use it up
        return Response(status_code=405, headers={"Allow": "GET"})
    if not await run_in_threadpool(house_of(request).auth.use_code, request.path_params["code"]):
        problem = "This link was used before, is older than a week, or belongs to an earlier start of the house."
        return _form_page(request, 403, problem)
    return await _signed_in(request)


async def with_key(request: Request) -> Response:
    check_origin(request)
    body = await read_body(request, _LARGEST_FORM)
    given = parse_qs(body.decode("utf-8", "replace")).get("key", [""])[0].strip()
    principal = await run_in_threadpool(house_of(request).auth.principal, given)
    if principal is None or not principal.owner or principal.scope != "write":
        return _form_page(request, 403, "That is not a key of this house.")
    return await _signed_in(request)


async def _signed_in(request: Request) -> Response:
    """A page that leads on, not a redirect: after a click in another program, only a page of the house's own
    brings the strict cookie along. `?next=`: which page, of a run or a trace."""
    auth = house_of(request).auth
    secret, seconds = await run_in_threadpool(auth.new_browser)
    asked = request.query_params.get("next", "/")
    answer = page("signed_in.html", next=asked if _PAGE.fullmatch(asked) else "/")
    answer.set_cookie(auth.cookie, secret, max_age=seconds, httponly=True, samesite="strict", path="/")
    return answer


async def sign_out(request: Request) -> Response:
    check_origin(request)
    auth = house_of(request).auth
    secret = request.cookies.get(auth.cookie)
    if secret:
        await run_in_threadpool(auth.end_browser, secret)
    answer = RedirectResponse("/signin", 303)
    answer.delete_cookie(auth.cookie, path="/", httponly=True, samesite="strict")
    return answer
