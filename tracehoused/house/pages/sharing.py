"""For whom a page is made: whoever has a link's token, carried from page to page in their addresses (`?t=`), or the owner; and
whether the house is a server, or only shows a spool."""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import urlencode

# The token that the page being made was opened with; set for each request anew.
TOKEN: ContextVar[str | None] = ContextVar("shared_token", default=None)

# The spool that the house only shows, if that is what it is for.
FOLLOWS: ContextVar[str | None] = ContextVar("follows", default=None)


def follows() -> str | None:
    return FOLLOWS.get()


def is_shared() -> bool:
    return TOKEN.get() is not None


def shared_token() -> str | None:
    return TOKEN.get()


def link(path: str) -> str:
    """The address of another page or file of the house, with the token of this page where it has one."""
    token = TOKEN.get()
    if token is None:
        return path
    address, mark, place = path.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'t': token})}{mark}{place}"
