"""One record, one line: framing, checksum, parsing. Pure; the format is specified in ``tracehouse.spool``."""

from __future__ import annotations

from binascii import crc32

from tracehouse.spool.patterns import Pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    # (seq, type, data): data is the JSON text of the record's object
    Parsed = tuple[int, bytes, bytes]

MAX_RECORD = 16 * 1024 * 1024
# what a character comes to at most: the escape of a lone surrogate
MAX_BYTES = 6

TYPES = (
    "segment",
    "trace",
    "span",
    "trace_patch",
    "run",
    "metrics",
    "run_patch",
    "config_patch",
    "media",
    "artifact",
    "push_model_card",
    "dropped",
    "exit",
    "close",
)

_LINE = Pattern(
    rb'(?s)\{"crc":"([0-9a-f]{8})","seq":([1-9][0-9]{0,17}),"type":"([a-z_]{1,32})","data":(\{.*\})\}',
)
_CRC_AT = 16  # the checksum covers the line from here on


def checksum_seed(uid: str, epoch: str) -> int:
    """CRC-32 start value of all lines that one writer puts into one session."""
    return crc32(f"{uid}/{epoch}".encode())


def frame(seed: int, seq: int, kind: str, data: str) -> bytes:
    """The line of one record, newline included; ``data`` is JSON text of an object without raw newlines.

    Lone surrogates, which UTF-8 cannot hold, become their JSON escapes.
    """
    text = f'","seq":{seq},"type":"{kind}","data":{data}}}'
    try:
        body = text.encode()
    except UnicodeEncodeError:
        body = text.encode("utf-8", "backslashreplace")
    return b'{"crc":"%08x%b\n' % (crc32(body, seed), body)


def size_of(data: str) -> int:
    """How many bytes a text takes in a record."""
    return len(data) if data.isascii() else len(data.encode("utf-8", "backslashreplace"))


def parse(line: bytes, seed: int) -> Parsed | None:
    """(seq, type, data) of a line without its newline, or None when it is damaged or foreign."""
    found = _LINE.fullmatch(line)
    if found is None or crc32(memoryview(line)[_CRC_AT:], seed) != int(found[1], 16):
        return None
    return int(found[2]), found[3], found[4]


def peek(line: bytes) -> Parsed | None:
    """Like ``parse`` without the checksum: for a header, whose data tells the seed to check it with."""
    found = _LINE.fullmatch(line)
    return None if found is None else (int(found[2]), found[3], found[4])


def alike(lines: list[bytes], at: int, seq: int, kind: bytes, skip: int, seed: int) -> int:
    """How many lines from ``at`` on are valid, of this type, with data from byte ``skip`` on, and count on from ``seq``.

    The quick way for the bulk of a segment: what does not pass here is for ``parse`` to judge.
    """
    first = seq
    head = b'{"crc":"%%08x","seq":%%d,"type":"%b","data":{' % kind
    for n in range(at, len(lines)):
        line = lines[n]
        if line[: skip + 1] != head % (crc32(line[_CRC_AT:], seed), seq) or line[-2:] != b"}}":
            break
        seq += 1
    return seq - first
