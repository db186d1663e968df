"""Batch bounds cover each record once, whatever the mix of types, the limits, the gaps and what is settled already."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.segments import EPOCH, UID, line
from tracehouse.spool import layout
from tracehoused.upload import reader, rounds
from tracehoused.upload.batch import LANES, Batch, Bounds, Limits, batch_key, halves, without
from tracehoused.upload.intervals import Intervals
from tracehoused.upload.reader import Epoch
from tracehoused.upload.rounds import Reading, Round, read_batch, read_records
from tracehoused.upload.state import State

BATCHED = ("spans", "metrics", "media", "artifacts")
TYPES = ("span", "metrics", "media", "artifact", "trace", "trace_patch", "dropped", "span", "metrics", "metrics")
RECORDS = st.lists(
    # (type, gap before it, size, whether it cannot be sent now)
    st.tuples(st.sampled_from(TYPES), st.sampled_from([0, 0, 0, 0, 1, 3]), st.integers(0, 40), st.booleans()),
    max_size=40,
)
LIMITS = st.builds(Limits, st.integers(1, 9), st.integers(1, 9), st.integers(1, 400))


def render(data: bytes) -> tuple[bytes, int] | None:
    fields = json.loads(data)
    return None if fields["later"] else (data, 1 + len(fields["pad"]) % 3)


def written(directory: Path, records: list[tuple[str, int, int, bool]], damage: int = 0) -> dict[int, str]:
    """Write the segment; lanes by seq."""
    lanes, lines, seq = {}, [], 0
    for number, (kind, gap, size, later) in enumerate(records):
        seq += 1 + gap
        lanes[seq] = LANES[kind.encode()]
        lines.append(line(seq, kind, {"n": number, "later": later and kind == "metrics", "pad": "x" * size}))
        if damage and number % damage == 0:
            lines.append(b"damage\n")
    (directory / layout.segment_name(EPOCH, 0)).write_bytes(b"".join(lines))
    return lanes


def rounds_of(directory: Path, state: State, limits: Limits) -> list[Round]:
    size = (directory / layout.segment_name(EPOCH, 0)).stat().st_size
    epoch = Epoch(EPOCH, {0: size}, {"attempt": 1})
    reading = Reading(str(directory), UID, epoch, state, limits, {"metrics": render})
    found = []
    while (one := reading.next()) is not None:
        found.append(one)
    return found


def covered(batch: Batch, lanes: dict[int, str]) -> list[int]:
    """The records that a batch's bounds mean."""
    first, last = batch.bounds.first, batch.bounds.last
    return [seq for seq, lane in lanes.items() if first <= seq <= last and lane == batch.bounds.lane]


@settings(max_examples=150)
@given(RECORDS, LIMITS, st.lists(st.integers(1, 120), max_size=20), st.integers(0, 5), st.integers(1, 2000))
def test_each_record_is_in_one_batch_or_settled_or_held(
    tmp_path_factory: object,
    records: list[tuple[str, int, int, bool]],
    limits: Limits,
    settled: list[int],
    damage: int,
    round_bytes: int,
) -> None:
    directory = tmp_path_factory.mktemp("session")  # type: ignore[attr-defined]
    lanes = written(directory, records, damage)
    state = State()
    for seq in settled:
        state.apply({"op": "settle", "epoch": EPOCH, "lane": "metrics", "ranges": [[seq, seq]]})
    with patch.object(rounds, "ROUND_BYTES", round_bytes):
        found = rounds_of(directory, state, limits)
    batches = [batch for one in found for batch in one.batches]
    held = sum(one.held for one in found)
    in_batches = sorted(seq for batch in batches for seq in covered(batch, lanes))
    assert len(in_batches) == len(set(in_batches))
    wanted = {seq for seq, lane in lanes.items() if lane in BATCHED and not state.is_settled(EPOCH, lane, seq)}
    assert set(in_batches) <= wanted
    assert len(wanted) - len(in_batches) == held
    assert not any(state.is_settled(EPOCH, "metrics", seq) for seq in in_batches if lanes[seq] == "metrics")
    assert {seq for one in found for pair in one.seen for seq in range(pair[0], pair[1] + 1)} == set(lanes)
    for batch in batches:
        bounds = batch.bounds
        assert batch.count == len(batch.parts) == len(covered(batch, lanes))
        assert set(range(bounds.first, bounds.last + 1)) <= set(lanes), "a batch has no gap"
        if bounds.lane in ("spans", "metrics"):
            most = limits.spans if bounds.lane == "spans" else limits.points
            assert batch.count == 1 or (batch.units <= most and batch.size <= limits.bytes)
        else:
            assert batch.count == 1
        again = read_batch(str(directory), UID, bounds, 1, {"metrics": render})
        assert again == batch, "a retry sends the same bytes"


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 2000), st.integers(100, 900))
def test_only_the_last_batch_of_a_segment_is_small(
    tmp_path_factory: object, count: int, most: int, round_bytes: int, block: int
) -> None:
    """A round that ended in the middle of a batch would cost a request more each time."""
    directory = tmp_path_factory.mktemp("session")  # type: ignore[attr-defined]
    written(directory, [("span", 0, 9, False)] * count)
    with patch.object(rounds, "ROUND_BYTES", round_bytes), patch.object(reader, "BLOCK", block):
        found = rounds_of(directory, State(), Limits(most, most, 100_000))
    counts = [batch.count for one in found for batch in one.batches]
    assert counts == [most] * (count // most) + [count % most] * (count % most > 0)


@given(RECORDS.filter(len), LIMITS, st.data())
def test_halves_and_cuts_cover_what_the_whole_does(
    tmp_path_factory: object, records: list[tuple[str, int, int, bool]], limits: Limits, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("session")  # type: ignore[attr-defined]
    lanes = written(directory, [(kind, gap, size, False) for kind, gap, size, _ in records])
    for found in rounds_of(directory, State(), limits):
        for batch in found.batches:
            there = read_records(str(directory), UID, batch.bounds)
            assert [record.seq for record in there] == covered(batch, lanes)
            if batch.count > 1:
                parts = [read_records(str(directory), UID, half) for half in halves(batch.bounds, there)]
                assert parts[0] + parts[1] == there
            have = data.draw(st.lists(st.sampled_from([record.seq for record in there]), unique=True))
            ranges = tuple((seq, seq) for seq in sorted(have))
            rest = [read_records(str(directory), UID, cut) for cut in without(batch.bounds, there, ranges)]
            assert [record for part in rest for record in part] == [one for one in there if one.seq not in have]


def test_what_is_in_flight_is_not_planned_again(tmp_path: Path) -> None:
    written(tmp_path, [("metrics", 0, 0, False)] * 15)
    state = State()
    first, second = [batch for one in rounds_of(tmp_path, state, Limits(5, 5, 10_000)) for batch in one.batches][:2]
    state.apply({"op": "batch", "bounds": list(second.bounds)})
    [found] = rounds_of(tmp_path, state, Limits(100, 100, 100_000))
    assert sorted((b.bounds.first, b.bounds.last) for b in found.batches) == [
        (1, second.bounds.first - 1),
        (second.bounds.last + 1, 15),
    ]
    assert first.bounds.first == 1


def test_a_batch_of_which_part_is_gone_cannot_be_had(tmp_path: Path) -> None:
    """In a copy that was cut off, or after damage: never fewer records under the same range."""
    written(tmp_path, [("span", 0, 5, False)] * 6)
    [found] = rounds_of(tmp_path, State(), Limits())
    [batch] = found.batches
    path = tmp_path / layout.segment_name(EPOCH, 0)
    raw = path.read_bytes()
    for damaged in (raw[:-1], raw[: len(raw) // 2], raw.replace(b'"n":3', b'"n":4'), b""):
        path.write_bytes(damaged)
        assert read_batch(str(tmp_path), UID, batch.bounds, 1, {}) is None
    path.unlink()
    assert read_batch(str(tmp_path), UID, batch.bounds, 1, {}) is None


def test_of_several_lines_of_one_seq_the_first_counts(tmp_path: Path) -> None:
    """A record whose segment could not be synced is written again, in the next one."""
    for n, words in ((0, ("a", "b")), (1, ("B", "c"))):
        lines = [line(1 + n + at, "span", {"text": word}) for at, word in enumerate(words)]
        (tmp_path / layout.segment_name(EPOCH, n)).write_bytes(b"".join(lines))
    sizes = {n: (tmp_path / layout.segment_name(EPOCH, n)).stat().st_size for n in (0, 1)}
    reading = Reading(str(tmp_path), UID, Epoch(EPOCH, sizes, {}), State(), Limits(), {})
    found = reading.next()
    assert found is not None
    assert [json.loads(part)["text"] for batch in found.batches for part in batch.parts] == ["a", "b", "c"]
    assert found.seen == Intervals([(1, 3)])


def test_a_torn_tail_is_damage_once_nobody_writes_there_any_more(tmp_path: Path) -> None:
    path = tmp_path / layout.segment_name(EPOCH, 0)
    written(tmp_path, [("span", 0, 5, False)] * 3)
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes() + b'{"crc":"torn')
    epoch = Epoch(EPOCH, {0: path.stat().st_size}, {})
    waiting = Reading(str(tmp_path), UID, epoch, State(), Limits(), {}).next()
    assert waiting is not None
    assert (waiting.ends, waiting.damaged_bytes) == ({0: whole}, 0)
    ended = Reading(str(tmp_path), UID, epoch, State(), Limits(), {}, ended=True).next()
    assert ended is not None
    assert (ended.ends, ended.damaged_lines, ended.damaged_bytes) == ({0: path.stat().st_size}, 1, 12)
    again = Reading(str(tmp_path), UID, epoch, State(), Limits(), {}, ended=True, counted=ended.ends).next()
    assert again is not None
    assert again.damaged_bytes == 0


@pytest.mark.parametrize("ended", [False, True])
def test_what_has_no_newline_for_longer_than_any_record_is_passed_over(tmp_path: Path, ended: bool) -> None:
    before, nothing = line(1, "span", {"id": 1}), 40_000_000
    path = tmp_path / layout.segment_name(EPOCH, 0)
    path.write_bytes(before)
    os.truncate(path, size := len(before) + nothing)
    reading = Reading(str(tmp_path), UID, Epoch(EPOCH, {0: size}, {}), State(), Limits(), {}, ended=ended)
    found = list(islice(iter(reading.next, None), 3))
    assert [len(one.seen) for one in found] == [1]
    # up to 16 MiB may be a record that is still being written
    assert nothing - found[0].damaged_bytes in ([0] if ended else range(1, 2**24 + 1))


def test_a_record_that_is_no_object_is_damage_and_costs_itself(tmp_path: Path) -> None:
    lines = [line(1, "trace_patch", "{" + "[" * 2000 + "}"), line(2, "run", "{}"), line(3, "exit", '{"at":1')]
    raw = b"".join([*lines, line(4, "span", {"id": 1})])
    (tmp_path / layout.segment_name(EPOCH, 0)).write_bytes(raw)
    found = Reading(str(tmp_path), UID, Epoch(EPOCH, {0: len(raw)}, {}), State(), Limits(), {}).next()
    assert found is not None
    assert (len(found.creates), len(found.patches), len(found.locals), len(found.batches)) == (1, 0, 0, 1)
    assert found.damaged_lines == 2


def test_a_key_tells_batches_destinations_and_generations_apart() -> None:
    bounds = Bounds("spans", EPOCH, 0, 0, 10, 1, 5)
    keys = {
        batch_key("u", 0, "d", bounds),
        batch_key("u", 1, "d", bounds),
        batch_key("u", 0, "other", bounds),
        batch_key("v", 0, "d", bounds),
        batch_key("u", 0, "d", bounds._replace(lane="metrics")),
        batch_key("u", 0, "d", bounds._replace(last=6)),
    }
    assert len(keys) == 6
    assert batch_key("u", 0, "d", bounds) == batch_key("u", 0, "d", bounds._replace(start=3))
