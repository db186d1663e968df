"""Request headers that make a change happen once, and request bodies within their bounds."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from urllib.parse import parse_qsl

from starlette.requests import Request

from tracehoused.house.errors import Refusal, malformed, too_large
from tracehoused.house.store.once import Once, Range
from tracehoused.house.values import INT64

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RANGE = re.compile(r"([A-Za-z0-9._~:-]{1,128})/([A-Za-z0-9._~-]{1,128}):([0-9]{1,19})-([0-9]{1,19})")
# A segment is called <epoch>-<number>; all segments of one epoch have one writer.
# RFC 9530: of the members of a dictionary the one that is understood here
_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*=([^,]*)")
_SEGMENT = re.compile(r"([0-9A-Za-z]+)-[0-9]+")


def once_of(request: Request, endpoint: str) -> Once:
    """What makes this request recognisable, without the digest, which needs the body; Refusal 400."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise malformed("Idempotency-Key must be 1 to 255 visible ASCII characters")
    after = request.headers.get("x-tracehouse-after")
    if after is not None and not _KEY.fullmatch(after):
        raise malformed("X-Tracehouse-After must be the key of another request")
    held = _range(request.headers.get("x-tracehouse-range"))
    attempt = request.headers.get("x-tracehouse-attempt", "0")
    if not re.fullmatch(r"[0-9]{1,18}", attempt):
        raise malformed("X-Tracehouse-Attempt must be a whole number")
    return Once(endpoint, key, "", held, int(attempt), writer_of(held.segment) if held else "", after)


def writer_of(segment: str) -> str:
    match = _SEGMENT.fullmatch(segment)
    return match[1] if match else segment


def _range(text: str | None) -> Range | None:
    if text is None:
        return None
    match = _RANGE.fullmatch(text)
    if match is None:
        raise malformed("X-Tracehouse-Range must be <session uid>/<segment>:<first>-<last>")
    first, last = int(match[3]), int(match[4])
    if not first <= last < INT64 - 1:
        raise malformed("X-Tracehouse-Range must have first ≤ last, within 63 bits")
    return Range(match[1], match[2], first, last)


def query_of(request: Request) -> dict[str, str]:
    """The query's parameters, each given once, lone surrogates included; Refusal 400."""
    try:
        text = request.scope.get("query_string", b"").decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="surrogatepass", max_num_fields=100)
    except ValueError as error:
        raise malformed(f"the query cannot be read: {error}") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise malformed("a parameter of the query is given more than once")
    return query


def digest_of(request: Request, body: bytes | str) -> str:
    """Names method, path, query and body; a body on disk is given as its own hash."""
    body_hash = body if isinstance(body, str) else hashlib.sha256(body).hexdigest()
    target = request.scope.get("raw_path") or request.url.path.encode()
    line = b"\n".join((request.method.encode(), target, request.scope.get("query_string", b""), body_hash.encode()))
    return hashlib.sha256(line).hexdigest()


def promised_sha256(request: Request) -> str | None:
    """What the body must have by its Content-Digest, in hex; None where that tells nothing of SHA-256. Refusal 400."""
    told = _DIGEST.search(request.headers.get("content-digest", ""))
    if told is None:
        return None
    text = told[1].partition(";")[0].strip()
    try:
        found = base64.b64decode(text[1:-1], validate=True) if text[:1] == text[-1:] == ":" else b""
    except binascii.Error:
        found = b""
    if len(found) != hashlib.sha256().digest_size:
        raise malformed("Content-Digest must be sha-256=:<32 bytes in base64>:")
    return found.hex()


def check_length(request: Request, limit: int) -> None:
    """Refuse by what the header announces, before anything is read."""
    announced = request.headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit():
        raise malformed("Content-Length must be a number")
    if len(announced) > 18 or int(announced) > limit:
        raise too_large(limit)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, inflated if it is gzip; never more than `limit` bytes are held, of either form."""
    check_length(request, limit)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Refusal(415, "encoding", f"Content-Encoding must be gzip or identity, got {encoding[:40]!r}")
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
    parts: list[bytes] = []
    size = 0
    async for data in request.stream():
        part = data if inflate is None else _inflated(inflate, data, limit - size)
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    if inflate is not None and not inflate.eof:
        raise malformed("the gzip body ends too early")
    return b"".join(parts)


def _inflated(inflate: zlib._Decompress, data: bytes, room: int) -> bytes:
    try:
        out = inflate.decompress(data, room + 1)
    except zlib.error as error:
        raise malformed(f"the body is not gzip: {error}") from None
    if inflate.unused_data:
        raise malformed("something follows the end of the gzip body")
    return out
