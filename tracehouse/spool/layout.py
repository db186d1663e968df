"""Names and paths of a spool. Pure: nothing here touches a disk."""

from __future__ import annotations

import sys

from tracehouse.spool.patterns import Pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class SegmentName(NamedTuple):
        epoch: str
        n: int

else:
    from collections import namedtuple

    SegmentName = namedtuple("SegmentName", "epoch n")

KINDS = ("trace", "run")
MANIFEST = "session.json"
MEDIA = "media"
UPLOAD = "upload"
WRITERS = ".writers"
TRASH = ".trash"
RECEIPT = "receipt.json"
# flocked by the agent that watches the spool: the emitter's first line tells whether one does
AGENT_LOCK = ".agent.lock"
# touched while the spool is over its budget
FULL = ".full"

_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_SEGMENT = Pattern(r"([0-9a-f]{16})-([0-9]{6})\.jsonl")
_SESSION = Pattern(r"(trace|run)-[A-Za-z0-9._-]{0,60}-[0-9a-f]{16}")
_MEDIA = Pattern(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")


def sha256_hex(data: bytes) -> str:
    """SHA-256 of a short text. The C module behind hashlib, when it is there: hashlib itself costs 4 ms to import."""
    try:
        # by version: an import that fails is tried anew each time, and costs 0.3 ms
        if sys.version_info >= (3, 12):
            from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
        else:
            from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256
    digest: str = sha256(data).hexdigest()
    return digest


def fingerprint(key: str) -> str:
    """How an API key is named where the key itself must not stand: first 16 hex digits of its SHA-256."""
    return sha256_hex(key.encode("utf-8", "surrogatepass"))[:16]


def session_dir(kind: str, session_id: str, api_base: str, credential: str | None) -> str:
    """Directory name of a session. ``credential``: a key's fingerprint, "anon", or None."""
    try:
        from _json import encode_basestring_ascii as quote
    except ImportError:
        from json.encoder import encode_basestring_ascii as quote
    named = ",".join(map(quote, (kind, session_id, api_base, credential or "-")))
    safe = "".join(char if char in _SAFE else "_" for char in session_id[:60])
    return f"{kind}-{safe}-{sha256_hex(f'[{named}]'.encode())[:16]}"


def is_session_dir(name: str) -> bool:
    return _SESSION.fullmatch(name) is not None


def segment_name(epoch: str, n: int) -> str:
    return f"{epoch}-{n:06d}.jsonl"


def parse_segment_name(name: str) -> SegmentName | None:
    found = _SEGMENT.fullmatch(name) if name.endswith(".jsonl") else None
    return None if found is None else SegmentName(found[1], int(found[2]))


def is_media_name(name: str) -> bool:
    return _MEDIA.fullmatch(name) is not None


def lock_name(epoch: str) -> str:
    return f"{epoch}.lock"
