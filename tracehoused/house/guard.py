"""Around every request: the Host header must name this house, and every answer carries the browser's strict rules."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracehoused.house.api.respond import json_answer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_DEFAULT = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    # Not no-referrer: under that, browsers send `Origin: null` with the forms of the house itself. Shared pages have none.
    "Referrer-Policy": "same-origin",
}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]@/\s]+)(?::[0-9]{1,5})?")


def host_name(header: str) -> str | None:
    """The name a Host header carries, without the port; None if it is not of that form."""
    match = _HOST.fullmatch(header)
    return match[1].lower() if match else None


class Guard:
    """ASGI middleware. A page of another site whose name was pointed at this address (DNS rebinding) is turned away."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
                for name, value in _DEFAULT.items():
                    headers.setdefault(name, value)
            await send(message)

        names = Headers(scope=scope).getlist("host")
        if len(names) != 1 or host_name(names[0]) not in self._hosts:
            message = "this house does not answer to that Host; start it with --allow-host NAME to add a name"
            answer = json_answer({"reason": "host", "message": message}, 403)
            await answer(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)
