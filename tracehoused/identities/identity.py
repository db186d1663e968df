"""As whom a session is uploaded, or why it has to wait. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracehouse.spool.keys import is_loopback
from tracehoused.text import printable

__all__ = ["Credential", "NoCredential", "refuse_plain_http"]


@dataclass(frozen=True)
class Credential:
    """``token`` is the Bearer, only ever for ``api_base``. ``formerly``: other names under which this identity acknowledged."""

    token: str = field(repr=False)
    identity: str
    api_base: str
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoCredential:
    """Why a session has to wait, and what to do about it."""

    reason: str
    hint: str


def refuse_plain_http(api_base: str, *, allowed: bool) -> NoCredential | None:
    """The refusal to send keys and records where everyone on the way can read them."""
    if allowed or api_base.startswith("https:") or is_loopback(api_base):
        return None
    return NoCredential(
        f"{printable(api_base)} is not encrypted",
        "use https, or allow it: --allow-plain-http, TRACEHOUSE_ALLOW_PLAIN_HTTP=1 or allow_plain_http in config.toml",
    )
