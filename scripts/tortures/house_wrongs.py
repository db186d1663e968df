"""Sound requests to every route of a house, and what can be wrong with one: each fault alone is enough for it to have to be refused."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.house import once
from tortures.house_bodies import BODIES, spoilt
from tortures.house_bodies import sound as body_of
from tracehoused.house.app import api_routes

MEDIA = "POST /v1/runs/{id}/media"
NOT_HERE = "POST /v1/runs/{id}/push_model_card"  # what it says is not looked at
_OPEN = ("/v1/capabilities", "/v1/anon/session")
ROUTES = sorted(f"{method} {one.path}" for one in api_routes() for method in one.methods or ())
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")


_PAGED = (
    "limit=0",
    "limit=1001",
    "limit=x",
    "limit=1.0",
    "limit=-1",
    "limit=",
    "after=-1",
    "after=x",
    "after=" + "9" * 19,
)
_CHART = (
    "limit=0",
    "limit=100001",
    "buckets=0",
    "buckets=10001",
    "buckets=x",
    "first=x",
    "last=1e3",
    "after=1",
    "after=1:2:x",
)
_QUERIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("/v1/traces", "/v1/runs", "/v1/traces/{id}", "/v1/runs/{id}/media", "/v1/runs/{id}/artifacts"), _PAGED
    ),
    "/v1/runs/{id}/rollouts": (*_PAGED, "step=x", "step=" + "9" * 30),
    "/v1/runs/{id}/metrics": (*_CHART, "after=1:2:" + "9" * 30, "after=" + ":".join("1" * 5000)),
}
# what these say is looked at, and not only whom they are about and who asks
LOOKED_AT = sorted({*BODIES, MEDIA, *(f"GET {path}" for path in _QUERIES)})
_SOUND_MEDIUM = "key=k&media_type=image&step=1&caption=c"
_MEDIUM = (
    *("", "key=k", "media_type=image", "key=&media_type=image", "key=k&media_type=x", "key=k&media_type=IMAGE"),
    *(
        f"{_SOUND_MEDIUM}&step=2",
        f"{_SOUND_MEDIUM}&key=k",
        "key=k&media_type=image&step=",
        "key=k&media_type=image&step=1.5",
    ),
    *("key=k&media_type=image&step=" + "9" * 19, f"key={'x' * 1025}&media_type=image", "key=%ff&media_type=image"),
    "&".join(["key=k&media_type=image", *(f"a{n}=" for n in range(200))]),
)
_NOT_JSON = (
    *(b"{", b"}", b"nul", b"[]", b'"x"', b"5", b"null", b"true", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b"{}{}", b"{} x", b"{'a':1}"),
    *(b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":"\x01"}', b'{"a":"\xed\xa0\x80"}'),
    *(b"[" * 5000, b'{"a":' * 5000, b'{"a":' + b"9" * 5000 + b"}"),
    *('{"a":1}'.encode("utf-16"), b'{"a":"\\x"}', b'{"a":01}', b"{,}", b'{"a"}', b"<script>", b"\x00"),
)  # fmt: skip


@dataclass
class Message:
    """A request, to be sent byte by byte as it is. ``rest``: lines beside the headers; ``is_cut``: its sender hangs up in its middle."""

    route: str
    method: str
    path: str
    query: str = ""
    version: str = "HTTP/1.1"
    headers: dict[str, str] = field(default_factory=dict)
    rest: tuple[str, ...] = ()
    body: bytes = b""
    faults: list[str] = field(default_factory=list)
    is_cut: bool = False

    def text(self) -> bytes:
        headers = {"Connection": "close", "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"{self.method} {self.path}{'?' if self.query else ''}{self.query} {self.version}"]
        lines += [f"{name}: {value}" for name, value in headers.items()] + list(self.rest)
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body

    @property
    def changes(self) -> bool:
        return not self.route.startswith(("GET", "HEAD")) and not self.route.endswith(("/verify", "/session"))

    @property
    def has_object(self) -> bool:
        """A JSON object for a body, whose chunks are not what is wrong."""
        return self.route in BODIES and "Transfer-Encoding" not in self.headers


class Target(NamedTuple):
    """What sound requests are about, and an idempotency key that another one had."""

    key: str
    run: str
    trace: str
    medium: str
    used: str


def sound(route: str, target: Target) -> Message:
    """A request that is taken; nothing of it is in the house yet."""
    method, path = route.split()
    own = target.trace if path.startswith("/v1/traces") else target.run
    message = Message(route, method, path.replace("{id}", own).replace("{name}", target.medium))
    message.headers = {"Host": "127.0.0.1", "Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    if message.changes:
        message.headers |= once(f"sound-{target.run}", 1, 1)
    if route in BODIES:
        message.body = json.dumps(body_of(BODIES[route])).encode()
    if route == MEDIA:
        message.query, message.body = _SOUND_MEDIUM, f"picture of {target.run}".encode()
    return message


_Fault = Callable[[Message, random.Random, Target], bool]


def _not_json(message: Message, chance: random.Random, _: Target) -> bool:
    if not message.has_object:
        return False
    cut = message.body[: chance.randrange(len(message.body) or 1)]
    message.body = cut if cut and chance.random() < 0.3 else chance.choice(_NOT_JSON)
    return True


def _wrong_field(message: Message, chance: random.Random, _: Target) -> bool:
    table = BODIES.get(message.route)
    if table and message.has_object:
        name = chance.choice(sorted(table))
        message.body = json.dumps(spoilt(table, name, chance.randrange(10**6))).encode()
    return bool(table) and message.has_object


def _missing_fields(message: Message, chance: random.Random, _: Target) -> bool:
    needed = [name for name, one in BODIES.get(message.route, {}).items() if one.is_needed]
    if needed and message.has_object:
        gone = chance.sample(needed, chance.randint(1, len(needed)))
        body = {name: one.sound for name, one in BODIES[message.route].items() if name not in gone}
        message.body = chance.choice((json.dumps(body).encode(), b"{}", b""))
    return bool(needed) and message.has_object


def _encoding(message: Message, chance: random.Random, _: Target) -> bool:
    if not message.has_object:
        return False
    packed = gzip.compress(message.body)
    named = chance.choice(("br", "deflate", "gzip, gzip", "x" * 500, "gzip", "gzip", "gzip", "gzip"))
    message.headers["Content-Encoding"] = named
    message.body = chance.choice(
        (message.body, packed[:-1], packed[: len(packed) // 2], packed + b"x", packed + packed, b"\x1f\x8b")
    )
    return True


def _digest(message: Message, chance: random.Random, _: Target) -> bool:
    message.headers["Content-Digest"] = chance.choice(("sha-256=::", "sha-256=:AAAA:", f"sha-256=:{'A' * 43}=:"))
    return message.route == MEDIA


def _length(message: Message, chance: random.Random, _: Target) -> bool:
    """Too much, no number, two of them, or less than is told."""
    told = chance.choice((str(65 * 2**20), "9" * 30, "-1", "x", "1e3", "", "1, 2", "cut"))
    message.headers["Content-Length"] = str(len(message.body) + 1) if told == "cut" else told
    message.is_cut |= told == "cut"
    return message.changes and message.method != "DELETE" and message.route != NOT_HERE


def _syntax(message: Message, chance: random.Random, _: Target) -> bool:
    """What is no HTTP."""
    wrong = ("no colon", "Na me: x", "Name : x", ": x", "N\0: x", "N: \0", "Host: elsewhere", "Content-Length: 77777")
    if chance.random() < 0.2:
        message.version = chance.choice(("HTTP/x.y", "HTTP", "", "HTTP/1.1 x"))
    else:
        message.rest += (chance.choice(wrong),)
    return True


def _chunks(message: Message, chance: random.Random, _: Target) -> bool:
    message.headers["Transfer-Encoding"] = "chunked"
    message.headers.pop("Content-Encoding", None)
    message.body = chance.choice((b"x\r\n\r\n", b"-1\r\nx\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"f" * 40 + b"\r\n"))
    return message.route in BODIES


def _id(message: Message, chance: random.Random, target: Target) -> bool:
    """Of nobody, or of something else."""
    path = message.route.split()[1]
    other = target.run if path.startswith("/v1/traces") else target.trace
    nobody = (
        "nobody",
        "..",
        ".",
        "..%2fx",
        "%00",
        "%ff",
        "%ed%a0%80",
        "x" * 2000,
        "%3Cscript%3E",
        "%20",
        "0",
        "-1",
        other,
    )
    of_media = ("0" * 64, "..%2f..%2fhouse.key", "%2e%2e%2fhouse.key", "....//house.key")
    message.path = path.replace("{id}", chance.choice(nobody)).replace("{name}", chance.choice(nobody + of_media))
    return "{" in path and message.route != NOT_HERE


def _method(message: Message, chance: random.Random, _: Target) -> bool:
    path = message.route.split()[1]
    message.method = chance.choice([one for one in _METHODS if f"{one} {path}" not in ROUTES])
    return True


def _query(message: Message, chance: random.Random, _: Target) -> bool:
    method, path = message.route.split()
    wrong = _MEDIUM if message.route == MEDIA else _QUERIES.get(path, ()) if method in ("GET", "HEAD") else ()
    message.query = chance.choice(wrong) if wrong else message.query
    return bool(wrong)


def _header(message: Message, chance: random.Random, _: Target) -> bool:
    """Of those that make a change happen once, or name a machine."""
    key = chance.choice(("", "two words", "k" * 256, "\xff"))
    other = {
        "Idempotency-Key": key,
        "X-Tracehouse-Range": chance.choice(("x", "u/s:9-1", "../../x:1-2", f"u/s:1-{9 * '9' * 19}", "u/s:-1-2")),
        "X-Tracehouse-Attempt": chance.choice(("-1", "x", "1" * 19)),
        "X-Tracehouse-After": chance.choice(("", "two words", "k" * 256, "a-key-that-was-never-used")),
        "X-Claude-Monitor-Machine-Id": "m" * 513,
        "X-Claude-Monitor-Hostname": "%ZZ" * 200,
    }
    name = chance.choice(sorted(other))
    message.headers[name] = other[name]
    return message.changes and message.route != NOT_HERE


def _reused(message: Message, _: random.Random, target: Target) -> bool:
    """The key of another request."""
    message.headers["Idempotency-Key"] = target.used
    return message.changes and message.route != NOT_HERE


def _who(message: Message, chance: random.Random, _: Target) -> bool:
    wrong = ("Bearer wrong", "Bearer ", "", "Basic x", "\xff", "Bearer " + "x" * 5000, "Bearer \xff")
    message.headers["Authorization"] = chance.choice(wrong)
    return message.route.split()[1] not in _OPEN


def _host(message: Message, chance: random.Random, _: Target) -> bool:
    message.headers["Host"] = chance.choice(
        ("evil.example", "127.0.0.1.evil.example", "", "a@127.0.0.1", "[::2]", "\xff")
    )
    return True


_WHAT: tuple[_Fault, ...] = (
    _not_json,
    _wrong_field,
    _wrong_field,
    _wrong_field,
    _missing_fields,
    _query,
    _header,
    _reused,
)
_HOW: tuple[_Fault, ...] = (_encoding, _digest, _length, _syntax, _chunks, _id, _method, _who, _host)


def spoil(message: Message, chance: random.Random, target: Target) -> None:
    """Put one fault into it, or several."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        while True:
            fault = chance.choice(_WHAT if chance.random() < 0.6 else _HOW)
            tried = Message(**{**vars(message), "headers": dict(message.headers), "faults": list(message.faults)})
            if fault(tried, chance, target):
                tried.faults.append(fault.__name__.strip("_").replace("_", " "))
                vars(message).update(vars(tried))
                break
