"""S3, S5: damage costs exactly the records it hits, is counted, and never stops the rest; nothing is ever invented."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import segments
from tests.support.segments import EPOCH, UID, header, line, manifest, metrics, span
from tracehouse.exceptions import SpoolError
from tracehouse.spool import layout, record
from tracehoused.upload import reader
from tracehoused.upload.batch import Record
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Scan, read_header, read_manifest, scan

SEED = record.checksum_seed(UID, EPOCH)


def whole() -> list[bytes]:
    """A segment of every kind of neighbourhood: long and short runs, changing types, a gap in seq."""
    kinds = [("segment", header(manifest())), ("run", {"name": "r"})]
    kinds += [("metrics", metrics(step)) for step in range(12)]
    kinds += [("span", span(number)) for number in range(5)]
    kinds += [("metrics", metrics(9)), ("media", {"key": "k"}), ("metrics", metrics(10)), ("span", span(7))]
    lines = [line(seq, kind, data) for seq, (kind, data) in enumerate(kinds, 1)]
    lines += [line(seq, "metrics", metrics(seq)) for seq in range(40, 48)]
    return lines


def read(path: Path, stop: int | None = None, start: int = 0, block: int | None = None) -> tuple[list[Record], Scan]:
    result = Scan(end=start)
    fd = os.open(path, os.O_RDONLY)
    try:
        return list(scan(fd, SEED, start, os.fstat(fd).st_size if stop is None else stop, result)), result
    finally:
        os.close(fd)


def expected(raw: bytes) -> list[tuple[int, bytes, bytes, int, int]]:
    """By the format's own words, line by line."""
    found, at = [], 0
    for one in raw.split(b"\n")[:-1]:
        parsed = record.parse(one, SEED)
        if parsed is not None:
            found.append((*parsed, at, at + len(one) + 1))
        at += len(one) + 1
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / layout.segment_name(EPOCH, 0)


def test_s3_truncation_at_every_byte_leaves_every_whole_line_before_it(path: Path) -> None:
    raw = b"".join(whole())
    path.write_bytes(raw)
    for size in range(len(raw) + 1):
        found, result = read(path, size)
        assert [tuple(one) for one in found] == expected(raw[:size])
        assert result.end == raw[:size].rfind(b"\n") + 1
        assert result.tail == size - result.end
        assert (result.damaged_lines, result.damaged_bytes) == (0, 0)


def test_s3_a_flipped_bit_anywhere_costs_at_most_its_line_and_the_next(path: Path) -> None:
    """A newline that is lost joins two lines; no other flip reaches beyond its own."""
    raw = b"".join(whole())
    chance = random.Random(1)
    for at in range(0, len(raw), 3):
        bad = bytearray(raw)
        bad[at] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        found, result = read(path)
        assert [tuple(one) for one in found] == expected(bytes(bad))
        lost = len(whole()) - len(found)
        assert 1 <= lost <= (2 if raw[at] == 10 else 1)
        assert result.damaged_lines >= (0 if at == len(raw) - 1 else 1)


def test_s3_runs_of_nul_cost_what_they_hit(path: Path) -> None:
    raw = b"".join(whole())
    chance = random.Random(2)
    for _ in range(300):
        at, size = chance.randrange(len(raw)), chance.randrange(1, 400)
        bad = raw[:at] + bytes(len(raw[at : at + size])) + raw[at + size :]
        path.write_bytes(bad)
        assert [tuple(one) for one in read(path)[0]] == expected(bad)


def test_s3_a_line_of_another_session_or_writer_never_passes(path: Path) -> None:
    lines = whole()
    foreign = [
        line(5, "metrics", metrics(5), uid="f" * 32),
        line(5, "metrics", metrics(5), epoch="00000000000000bb"),
    ]
    path.write_bytes(b"".join([*lines[:4], *foreign, *lines[4:]]))
    found, result = read(path)
    assert [one.seq for one in found] == [one[0] for one in expected(b"".join(lines))]
    assert result.damaged_lines == 2
    assert result.damaged_bytes == sum(map(len, foreign))


@given(st.binary(max_size=2000))
def test_s3_whatever_the_bytes_nothing_is_raised_and_nothing_invented(raw: bytes) -> None:
    assert scanned(raw) == expected(raw)


PIECES = st.one_of(
    st.integers(0, len(whole()) - 1).map(lambda at: whole()[at]),
    st.binary(max_size=30),
    st.just(b"\n"),
    st.tuples(st.integers(0, len(whole()) - 1), st.integers(0, 200)).map(lambda pair: whole()[pair[0]][: pair[1]]),
)


@given(st.lists(PIECES, max_size=20))
def test_s3_pieces_of_lines_in_any_order_are_read_as_the_format_says(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    assert scanned(raw) == expected(raw)


def scanned(raw: bytes) -> list[tuple[int, bytes, bytes, int, int]]:
    fd = os.memfd_create("segment") if hasattr(os, "memfd_create") else os.open("/dev/null", os.O_RDONLY)
    try:
        os.write(fd, raw)
        return [tuple(one) for one in scan(fd, SEED, 0, len(raw), Scan(0))]
    finally:
        os.close(fd)


def test_s3_lines_across_blocks_are_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"".join(whole())
    path.write_bytes(raw)
    for block in (1, 7, 64, 1000):
        monkeypatch.setattr(reader, "BLOCK", block)
        assert [tuple(one) for one in read(path)[0]] == expected(raw)


def test_s3_a_line_longer_than_any_record_does_not_fill_the_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_RECORD", 5000)
    monkeypatch.setattr(reader, "BLOCK", 1000)
    lines = whole()
    path.write_bytes(lines[0] + b"x" * 50_000 + b"\n" + b"".join(lines[1:]))
    found, result = read(path)
    assert len(found) == len(lines)
    assert result.damaged_bytes == 50_001


def test_damage_before_a_place_is_not_counted_again(path: Path) -> None:
    lines = whole()
    raw = b"".join([lines[0], b"bad\n", lines[1], b"worse\n", *lines[2:]])
    path.write_bytes(raw)
    result = Scan(end=0, count_from=len(lines[0]) + 4)
    fd = os.open(path, os.O_RDONLY)
    list(scan(fd, SEED, 0, len(raw), result))
    os.close(fd)
    assert (result.damaged_lines, result.damaged_bytes) == (1, 6)


def test_s5_only_a_regular_file_of_the_owner_with_one_link_is_opened(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(b"x")
    os.close(open_checked(str(good)))
    (tmp_path / "link").symlink_to(good)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in ("link", "fifo", "directory"):
        with pytest.raises(SpoolError):
            open_checked(str(tmp_path / name))
    with pytest.raises(SpoolError):
        open_checked("/dev/zero")
    os.link(good, tmp_path / "second")
    with pytest.raises(SpoolError, match="2 links"):
        open_checked(str(good))
    with pytest.raises(FileNotFoundError):
        open_checked(str(tmp_path / "nothing"))


def test_s5_no_descriptor_stays_open_after_a_refusal(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(50):
        with pytest.raises(SpoolError):
            open_checked(str(tmp_path / "fifo"))
    assert (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0) <= before


def test_a_lost_manifest_is_had_from_a_segments_header(tmp_path: Path) -> None:
    of = manifest()
    directory = segments.session(tmp_path, of, [line(1, "segment", header(of)), line(2, "run", {"name": "r"})])
    for content in (b"", b"\0" * 100, b"{}", b"[1]", b"{" * 60_000, b'{"format":1,"uid":5}'):
        (directory / layout.MANIFEST).write_bytes(content)
        assert read_manifest(str(directory)).to_dict() == of.to_dict()
    (directory / layout.MANIFEST).unlink()
    assert read_manifest(str(directory)).uid == UID


def test_s5_a_manifest_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    of = manifest()
    directory = segments.session(tmp_path, of)
    with open(directory / layout.MANIFEST, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(SpoolError):
        read_manifest(str(directory))


@given(st.binary(max_size=300))
def test_a_header_of_any_bytes_is_none(raw: bytes) -> None:
    path = Path(os.environ["HOME"]) / layout.segment_name(EPOCH, 0)
    path.write_bytes(raw)
    assert read_header(str(path)) is None


def test_a_header_that_lies_about_its_session_is_none(path: Path) -> None:
    of = manifest()
    for data in (
        {"epoch": EPOCH},
        {**header(of), "session": None},
        {**header(of), "session": {**of.to_dict(), "uid": "f" * 32}},
        [1],
        "{" * 1000,
    ):
        path.write_bytes(line(1, "segment", data if isinstance(data, str) else json.dumps(data)))
        assert read_header(str(path)) is None
