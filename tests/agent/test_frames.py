"""S3, E5: whatever JSON holds comes back from its line as it went in, and nothing but what was written is ever read."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tracehouse.spool import record
from tracehouse.values import encode
from tracehoused.upload.reader import Scan, scan

SEED = record.checksum_seed("5" * 32, "0123456789abcdef")
KINDS = st.sampled_from(record.TYPES)
SEQS = st.integers(1, 10**18 - 1)
# all that Python's text can be: also halves of pairs, NUL, and what other readers take for the end of a line
TEXTS = st.text(
    st.characters(exclude_categories=()) | st.sampled_from('\ud800\udfff\x00\n\r\x85\u2028"\\{}'), max_size=20
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
WRITTEN = st.tuples(SEQS, KINDS, OBJECTS, st.booleans())
DAMAGE = st.tuples(st.integers(0, 10**6), st.integers(1, 255))


def line(seq: int, kind: str, value: dict[str, Any], is_ascii: bool) -> bytes:
    """As other writers put it, too: with every character as it is, or with none but ASCII."""
    return record.frame(SEED, seq, kind, json.dumps(value, ensure_ascii=is_ascii))


def told(value: Any) -> Any:
    """As JSON can tell it: the two halves of a pair, side by side, are one character."""
    return json.loads(json.dumps(value))


def scanned(raw: bytes) -> tuple[list[tuple[int, bytes, Any]], Scan]:
    result = Scan(0)
    fd = os.open(os.path.join(os.environ["HOME"], "segment"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, raw)
        return [(one.seq, one.type, one.data) for one in scan(fd, SEED, 0, len(raw), result)], result
    finally:
        os.close(fd)


@given(st.lists(WRITTEN, max_size=6))
@example([(1, "span", {"\ud800\udfff": None}, False)])
@example([(1, "span", {"\ud800": "\x00", "\udfff\ud800": "\n\r\u2028"}, False)])
def test_s3_whatever_json_holds_comes_back_from_its_line(written: list[tuple[int, str, dict[str, Any], bool]]) -> None:
    found, result = scanned(b"".join(line(*one) for one in written))
    assert [(seq, kind.decode(), json.loads(data)) for seq, kind, data in found] == [
        (seq, kind, told(value)) for seq, kind, value, _ in written
    ]
    assert (result.damaged_lines, result.damaged_bytes, result.tail) == (0, 0, 0)


@given(SEQS, KINDS, OBJECTS)
def test_e5_what_the_emitter_writes_comes_back_from_its_line(seq: int, kind: str, value: dict[str, Any]) -> None:
    [(seq_read, kind_read, data)], _ = scanned(record.frame(SEED, seq, kind, encode(value)))
    assert (seq_read, kind_read.decode(), json.loads(data)) == (seq, kind, told(json.loads(encode(value))))


def damaged(whole: bytes, at: int, flip: int) -> bytes:
    """One byte of it is another."""
    at %= len(whole)
    return whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]


WHOLE = WRITTEN.map(lambda one: line(*one))
# (what is there, the line that was written)
PIECES = st.one_of(
    WHOLE.map(lambda whole: (whole, whole)),
    st.tuples(WHOLE, DAMAGE).map(lambda pair: (damaged(pair[0], *pair[1]), pair[0])),
    st.tuples(WHOLE, st.integers(0, 200)).map(lambda pair: (pair[0][: min(pair[1], len(pair[0]) - 1)], pair[0])),
    st.binary(max_size=60).map(lambda raw: (raw, b"")),
    st.just((b"\n", b"")),
)


@given(st.lists(PIECES, max_size=12))
@example([(line(1, "span", {}, True)[:-1], line(1, "span", {}, True)), (b"\n", b"")])
def test_s3_only_what_was_written_is_read_and_all_of_it_that_is_whole(pieces: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(piece for piece, _ in pieces)
    found, result = scanned(raw)
    written = {whole[:-1] for _, whole in pieces if whole}
    assert found == [record.parse(one, SEED) for one in raw.split(b"\n")[:-1] if one in written]
    ends = sum(len(record.frame(SEED, seq, kind.decode(), data.decode())) for seq, kind, data in found)
    assert ends + result.damaged_bytes + result.tail == len(raw)
