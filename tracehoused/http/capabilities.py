"""What a server can take beyond the base protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BASE_PROTOCOL", "Capabilities", "capabilities_of"]


@dataclass(frozen=True)
class Capabilities:
    """``trace_batch``: so many traces, or patches of traces, are taken by one ``POST /v1/spans`` (its ``traces`` and ``patches``); 0: none.
    ``after``: it heeds X-Tracehouse-After. ``content_digest``: and the Content-Digest of a file, of which it takes no other bytes.
    ``known``: the server was asked, and answered (404 is an answer: the base protocol).

    Where it could not be asked, ``known`` is False and the rest is the base protocol's: nothing may be given up for it.
    """

    media_types: tuple[str, ...] = ("image", "video")
    nonfinite: bool = False
    verify: bool = False
    gzip: bool = False
    trace_batch: int = 0
    after: bool = False
    content_digest: bool = False
    known: bool = True


BASE_PROTOCOL = Capabilities()


def capabilities_of(body: Mapping[str, object]) -> Capabilities:
    """From the reply to ``GET /v1/capabilities``; what it leaves out, or has in another form, is not there."""
    types = body.get("media_types")
    names = tuple(name for name in types if isinstance(name, str)) if isinstance(types, list) else None
    return Capabilities(
        media_types=BASE_PROTOCOL.media_types if names is None else names,
        nonfinite=body.get("nonfinite") is True,
        verify=body.get("verify") is True,
        gzip=body.get("gzip") is True,
        trace_batch=_whole(body.get("trace_batch")),
        after=body.get("after") is True,
        content_digest=body.get("content_digest") is True,
    )


def _whole(value: object) -> int:
    return value if type(value) is int and 0 < value <= 10_000 else 0
