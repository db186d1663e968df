"""S3: what is missed of a writer whose segments are not all here, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.segments import EPOCH, UID, header, line, manifest, metrics, session
from tracehouse.spool import layout, record
from tracehoused.upload.gaps import gaps
from tracehoused.upload.intervals import Intervals
from tracehoused.upload.reader import measure, writers
from tracehoused.upload.state import State

_OF = manifest()


def _segment(n: int, seq: int, *seqs: int) -> list[bytes]:
    return [line(seq, "segment", header(_OF, n=n)), *(line(one, "metrics", metrics(one)) for one in seqs)]


def _lacking(spool: Path, *segments: list[bytes]) -> Path:
    """A session without those of them that are empty."""
    made = session(spool, _OF, *segments)
    for path in made.glob("*.jsonl"):
        if not path.stat().st_size:
            path.unlink()
    return made


def _told(path: Path, state: State | None = None) -> list[tuple[int, int, int]]:
    [epoch] = epochs = writers(str(path))
    measure(str(path), epochs)
    here = Intervals()
    for segment in path.glob("*.jsonl"):
        for raw in segment.read_bytes().splitlines():
            parsed = record.parse(raw, record.checksum_seed(UID, EPOCH))
            if parsed is not None:
                here.add(parsed[0], parsed[0])
    found = gaps(str(path), UID, epoch, state or State(), here)
    return [(gap.first, gap.last, gap.records) for gap in found]


def test_s3_each_gap_is_told_with_its_segments_and_how_many_records_they_had(tmp_path: Path) -> None:
    path = _lacking(tmp_path, [], _segment(1, 4, 5), [], [], _segment(4, 12, 13), _segment(5, 14, 20))
    assert _told(path) == [(0, 0, 2), (2, 3, 4)]


def test_s3_a_segment_whose_records_were_all_written_again_is_not_missed(tmp_path: Path) -> None:
    """After a failed fsync and a power failure, or an interrupt."""
    path = _lacking(tmp_path, _segment(0, 1, 2, 3), [], _segment(2, 7, 5, 6, 8), [], _segment(4, 9, 10))
    assert _told(path) == []


@pytest.mark.parametrize(
    "state",
    [
        State(done={EPOCH: Intervals([(1, 6)])}),
        State(done={EPOCH: Intervals([(1, 4)])}, lanes={(EPOCH, "metrics"): Intervals([(5, 6)])}),
        State(facts={"dropped": {f"{EPOCH}-9": [2, {"ENOSPC": 2}]}}),
    ],
    ids=["done", "settled", "dropped"],
)
def test_s3_what_is_acknowledged_or_told_to_be_lost_is_not_missed(tmp_path: Path, state: State) -> None:
    path = _lacking(tmp_path, _segment(0, 1, 2, 3), [], _segment(2, 7, 8))
    assert _told(path) == [(1, 1, 2)]
    assert _told(path, state) == []


@pytest.mark.parametrize("ends, missed", [({EPOCH: [1, 6]}, 0), ({EPOCH: [0, 4]}, 1), ({EPOCH: "no"}, 5), (7, 5)])
def test_a2_what_a_receipt_tells_is_not_missed(tmp_path: Path, ends: object, missed: int) -> None:
    """Also where another destination's acknowledgements are looked at."""
    path = _lacking(tmp_path, [], _segment(1, 7, 8))
    place = path / layout.UPLOAD / "d"
    place.mkdir(parents=True)
    (place / layout.RECEIPT).write_text(json.dumps({"ends": ends}))
    assert sum(records for _, _, records in _told(path)) == missed


def test_s3_where_numbers_had_come_to_is_not_guessed_from_behind_a_damaged_header(tmp_path: Path) -> None:
    path = _lacking(tmp_path, _segment(0, 1, 2, 3), [], [b"damaged\n", *_segment(2, 7, 8)[1:]])
    assert _told(path) == []


def test_s3_no_gap_is_told_where_no_segment_is_missing(tmp_path: Path) -> None:
    path = _lacking(tmp_path, _segment(0, 1, 2, 3), _segment(1, 7, 9))
    assert _told(path) == []
