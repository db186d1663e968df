"""The acknowledgement journal: durable, joined with the agent's own copy, and true to itself when cut off at any byte."""

from __future__ import annotations

import binascii
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracehouse.exceptions import SpoolError
from tracehoused.upload import checkpoint as journal
from tracehoused.upload.batch import Bounds
from tracehoused.upload.checkpoint import Checkpoint
from tracehoused.upload.state import State

EPOCH = "aaaaaaaaaaaaaaaa"


def opened(root: Path, name: str = "d") -> Checkpoint:
    return Checkpoint(str(root / "session" / "upload" / name), str(root / "state" / f"{name}.json"))


def bounds(first: int, last: int, lane: str = "spans") -> Bounds:
    return Bounds(lane, EPOCH, 0, first * 10, last * 10, first, last)


def batch(first: int, last: int, lane: str = "spans") -> dict[str, Any]:
    return {"op": "batch", "bounds": list(bounds(first, last, lane))}


def strike(first: int, last: int, lane: str = "spans") -> dict[str, Any]:
    return {"op": "strike", "bounds": list(bounds(first, last, lane))}


def cut(first: int, last: int, lane: str = "spans") -> dict[str, Any]:
    return {"op": "cut", "bounds": list(bounds(first, last, lane))}


def settle(first: int, last: int, lane: str = "spans") -> dict[str, Any]:
    return {"op": "settle", "epoch": EPOCH, "lane": lane, "ranges": [[first, last]]}


def done(first: int, last: int) -> dict[str, Any]:
    return {"op": "done", "epoch": EPOCH, "ranges": [[first, last]], "cursors": [[0, last * 10]]}


@pytest.fixture(autouse=True)
def _session(tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()


LIFE = [
    batch(1, 4),
    batch(5, 9),
    {"op": "fact", "name": "server_id", "value": "r-1"},
    settle(1, 4),
    strike(5, 9),
    cut(5, 9),
    batch(5, 6),
    batch(7, 9),
    settle(7, 9),
    settle(5, 6),
    done(1, 9),
    batch(10, 10, "media"),
    {"op": "fact", "name": "said", "value": 1},
]


def test_what_was_committed_is_there_again(tmp_path: Path) -> None:
    first = opened(tmp_path)
    for entry in LIFE:
        first.note(entry)
    first.commit()
    again = opened(tmp_path)
    assert again.state == first.state
    assert list(again.state.in_flight) == [bounds(10, 10, "media")]
    assert again.state.cursors == {EPOCH: {0: 90}}
    assert not again.trusted


def test_nothing_is_there_that_was_not_committed(tmp_path: Path) -> None:
    opened(tmp_path).note(settle(1, 4))
    assert opened(tmp_path).state == State()


LANES = st.sampled_from(["spans", "media"])
LIVES = st.lists(
    st.one_of(
        *(st.builds(op, st.integers(1, 3), st.integers(3, 5), LANES) for op in (batch, settle, strike, cut)),
        st.builds(done, st.integers(1, 3), st.integers(3, 5)),
        st.builds(lambda value: {"op": "fact", "name": "said", "value": value}, st.integers()),
        st.builds(lambda value: {"op": "fact", "name": "server_id", "value": value}, st.text(max_size=4)),
    ),
    min_size=1,
    max_size=8,
)


@given(LIVES)
@example(LIFE)
@settings(max_examples=settings().max_examples // 5)
def test_cut_off_at_every_byte_it_says_what_its_whole_lines_say_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, life: list[dict[str, Any]]
) -> None:
    root = tmp_path_factory.mktemp("cut")
    (root / "session").mkdir()
    first = opened(root)
    path = Path(first.directory) / journal.JOURNAL
    states = [State().to_dict()]
    for entry in life:
        first.note(entry)
        first.commit()
        states.append(json.loads(json.dumps(first.state.to_dict())))
    raw = path.read_bytes()
    assert raw.count(b"\n") == len(life)
    for size in range(len(raw) + 1):
        path.write_bytes(raw[:size])
        found = opened(root)
        # a line without its newline may be whole already
        assert json.loads(json.dumps(found.state.to_dict())) in states[raw[:size].count(b"\n") :][:2]
        found.note(settle(90, 91))
        found.commit()
        assert opened(root).state.is_settled(EPOCH, "spans", 90), "a torn line must not swallow the next one"


@given(at=st.integers(0, 2000), bit=st.integers(0, 7))
def test_a_flipped_bit_settles_nothing_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    root = tmp_path_factory.mktemp("flip")
    (root / "session").mkdir()
    first = opened(root)
    for entry in LIFE:
        first.note(entry)
    first.commit()
    path = Path(first.directory) / journal.JOURNAL
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    path.write_bytes(raw)
    found = opened(root).state
    for lane in ("spans", "media"):
        for seq in range(1, 30):
            assert not found.is_settled(EPOCH, lane, seq) or first.state.is_settled(EPOCH, lane, seq)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_settle_nothing_and_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, copy: bytes
) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / "session").mkdir()
    one = opened(root)
    one.note(settle(1, 1))
    one.save_copy()
    (Path(one.directory) / journal.JOURNAL).write_bytes(raw)
    (root / "state" / "d.json").write_bytes(copy)
    assert opened(root).state == State()


def test_s1_one_cursor_for_all_of_a_writer_s_segments_is_one_for_the_segment_that_it_names(tmp_path: Path) -> None:
    """As journals had it: of what lies before it nobody knows whether it was there."""
    entry = {"op": "done", "epoch": EPOCH, "ranges": [[1, 9]], "cursor": [3, 50]}
    state = State()
    state.apply(entry)
    old = {**state.to_dict(), "cursors": {EPOCH: [3, 50]}}
    for found in (state, State.from_dict(old), State.from_dict(state.to_dict())):
        assert found.cursors == {EPOCH: {3: 50}}
        assert found.is_settled(EPOCH, "spans", 9)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"op": "batch"},
        {"op": "batch", "bounds": [1]},
        {"op": "settle", "epoch": "e", "lane": "l", "ranges": [[5, 1]]},
        {"op": "settle", "epoch": "e", "lane": "l", "ranges": 5},
        {"op": "done", "epoch": "e", "ranges": [], "cursor": ["x", "y"]},
        {"op": "done", "epoch": "e", "ranges": [], "cursors": [["x", "y"]]},
        {"op": "done", "epoch": "e", "ranges": [], "cursors": [[0, -1]]},
        {"op": "done", "epoch": "e", "ranges": [], "cursors": [1, 2, 3]},
        {"op": "state"},
        {"op": "state", "facts": [], "done": [], "lanes": {}, "cursors": [], "in_flight": {}},
        {"op": "strike", "bounds": ["spans", "e", 1, 2, 3, 4, 5]},
        {"op": "batch", "bounds": ["spans", "e", 1, 2, 3, 4, 5], "strikes": float("inf")},
        {"op": "done", "epoch": "e", "ranges": [], "cursor": [float("inf"), 0]},
        {"op": ["unhashable"]},
        {"op": "of a later version"},
    ],
)
def test_a_line_that_makes_no_sense_stops_nothing(tmp_path: Path, nonsense: dict[str, Any]) -> None:
    one = opened(tmp_path)
    one.note(settle(1, 2))
    one.commit()
    path = Path(one.directory) / journal.JOURNAL
    with open(path, "ab") as file:
        text = json.dumps(nonsense).encode()
        file.write(b"%08x %b\n" % (binascii.crc32(text), text))
    found = opened(tmp_path)
    assert found.state.is_settled(EPOCH, "spans", 2)
    assert found.state.in_flight == {}


ABSURD: dict[str, list[Any]] = {
    "ends": ["abc", [1], {EPOCH: "x"}, {EPOCH: {"seq": "x"}}, {EPOCH: {"status": ["x"]}}],
    "damage": [
        "abc",
        {EPOCH: "abcd"},
        {EPOCH: [1, 2]},
        {EPOCH: [[1, 2], 3, 4]},
        {EPOCH: [[[1, "x"]], 3, 4]},
        {EPOCH: [5, 3, 4]},
    ],
    "dropped": ["abc", {"a": "bcd"}, {"a": ["x", {}]}, {"a": [float("nan"), {}]}],
    "forgotten": ["abc", {"at": "x"}],
    "generation": ["x", float("inf")],
    "said": ["x"],
    "omitted": ["x"],
    "create": [5, "\ud800"],
    "server_id": [["x"]],
    "status_sent": [{}, [1, 2]],
    "to": ["ab"],
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in ABSURD.items() for value in values])
@pytest.mark.parametrize("as_state", [False, True])
def test_a3_a_fact_that_makes_no_sense_is_not_learnt(tmp_path: Path, name: str, value: object, as_state: bool) -> None:
    one = opened(tmp_path)
    one.note(settle(1, 2))
    one.commit()
    fact = {"op": "fact", "name": name, "value": value}
    state = {"op": "state", **State().to_dict(), "facts": {name: value}}
    text = json.dumps(state if as_state else fact).encode()
    with open(Path(one.directory) / journal.JOURNAL, "ab") as file:
        file.write(b"%08x %b\n" % (binascii.crc32(text), text))
    os.makedirs(tmp_path / "state")
    (tmp_path / "state" / "d.json").write_text(json.dumps({**State().to_dict(), "facts": {name: value}}))
    found = opened(tmp_path)
    assert name not in found.state.facts
    assert found.state.is_settled(EPOCH, "spans", 2)


ENTRIES = st.lists(
    st.one_of(
        st.builds(batch, st.integers(1, 9), st.integers(9, 15), st.sampled_from(["spans", "media"])),
        st.builds(settle, st.integers(1, 9), st.integers(9, 15), st.sampled_from(["spans", "media"])),
        st.builds(done, st.integers(1, 5), st.integers(5, 15)),
        st.builds(lambda value: {"op": "fact", "name": "n", "value": value}, st.integers()),
    ),
    max_size=15,
)


def state_of(entries: list[dict[str, Any]]) -> State:
    state = State()
    for entry in entries:
        state.apply(entry)
    return state


def settled(state: State) -> set[tuple[str, int]]:
    return {(lane, seq) for lane in ("spans", "media") for seq in range(1, 20) if state.is_settled(EPOCH, lane, seq)}


@given(ENTRIES)
def test_a_state_written_down_is_the_same_state(entries: list[dict[str, Any]]) -> None:
    state = state_of(entries)
    assert State.from_dict(json.loads(json.dumps(state.to_dict()))) == state


@given(ENTRIES, ENTRIES)
def test_s1_acknowledged_is_the_union_of_both_copies(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    merged = state_of(one)
    merged.merge(state_of(two))
    assert settled(merged) == settled(state_of(one)) | settled(state_of(two))


@given(ENTRIES)
def test_nothing_in_flight_is_settled_unless_it_can_be_told(entries: list[dict[str, Any]]) -> None:
    state = state_of([entry for entry in entries if entry["op"] == "batch"])
    for entry in entries:
        if entry["op"] != "batch":
            state.apply(entry)
    for kept in state.in_flight:
        some = any(state.is_settled(EPOCH, kept.lane, seq) for seq in range(kept.first, kept.last + 1))
        assert state.is_partly_settled(kept) == some


@pytest.mark.parametrize("order", [1, -1])
def test_a1_of_a_writers_last_signs_of_life_the_later_stays(order: int) -> None:
    state = State()
    for at in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", "2026-01-02T03:04:09Z"][::order]:
        state.learn({"ends": {EPOCH: {"seq": 7, "last_at": at}}})
    assert state.facts["ends"][EPOCH] == {"seq": 7, "last_at": "2026-01-02T03:04:09Z"}


def test_a8_who_lost_the_lease_notes_what_is_settled_and_no_facts(tmp_path: Path) -> None:
    late = opened(tmp_path)
    late.note(batch(1, 2))
    late.commit()
    other = opened(tmp_path)
    other.fact("damage", {EPOCH: [[[0, 20]], 2, 20]})
    other.commit()
    late.note(settle(1, 2))
    for name, value in (("damage", {EPOCH: [[[0, 10]], 1, 10]}), ("trouble", "late")):
        late.fact(name, value)
    late.commit(leased=False)
    found = opened(tmp_path).state
    assert found.is_settled(EPOCH, "spans", 2)
    assert found.facts == {"damage": {EPOCH: [[[0, 20]], 2, 20]}}


def test_s1_a_journal_that_an_rsync_put_back_loses_nothing(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.note(settle(1, 4))
    one.commit()
    shutil.copytree(tmp_path / "session", tmp_path / "older")
    one.note(settle(5, 9))
    one.save_copy()
    shutil.rmtree(tmp_path / "session")
    shutil.copytree(tmp_path / "older", tmp_path / "session")
    found = opened(tmp_path)
    assert found.state.is_settled(EPOCH, "spans", 9)
    assert found.trusted
    shutil.rmtree(tmp_path / "session")
    (tmp_path / "session").mkdir()
    assert opened(tmp_path).state.is_settled(EPOCH, "spans", 9)


def test_what_was_settled_before_the_server_forgot_counts_no_more(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.note(settle(1, 9))
    one.save_copy()
    shutil.copytree(tmp_path / "session", tmp_path / "before")
    shutil.copyfile(tmp_path / "state" / "d.json", tmp_path / "copy-before")
    one.fact("generation", 1)
    one.reset()
    one.note(settle(1, 2))
    one.save_copy()
    # the session's journal is from before
    after = tmp_path / "after"
    shutil.move(tmp_path / "session", after)
    shutil.copytree(tmp_path / "before", tmp_path / "session")
    assert not opened(tmp_path).state.is_settled(EPOCH, "spans", 9)
    # the agent's copy is from before
    shutil.rmtree(tmp_path / "session")
    shutil.move(after, tmp_path / "session")
    shutil.copyfile(tmp_path / "copy-before", tmp_path / "state" / "d.json")
    found = opened(tmp_path)
    assert not found.state.is_settled(EPOCH, "spans", 9)
    assert found.state.is_settled(EPOCH, "spans", 2)


def test_a5_what_was_acknowledged_under_a_former_name_is_acknowledged(tmp_path: Path) -> None:
    former = opened(tmp_path, "former")
    former.note(settle(1, 4))
    former.fact("server_id", "r-1")
    former.save_copy()
    own = opened(tmp_path, "own")
    own.note(settle(5, 9))
    own.commit()
    place = (former.directory, str(tmp_path / "state" / "former.json"))
    found = Checkpoint(own.directory, str(tmp_path / "state" / "own.json"), [place])
    assert found.state.is_settled(EPOCH, "spans", 1)
    assert found.state.is_settled(EPOCH, "spans", 9)
    assert found.state.facts["server_id"] == "r-1"
    assert found.trusted


def test_a5_what_makes_no_sense_under_a_former_name_is_left_there_and_not_set_aside_again_and_again(
    tmp_path: Path,
) -> None:
    former = opened(tmp_path, "former")
    former.note(settle(1, 4))
    former.commit()
    nonsense = {"op": "batch", "bounds": ["bogus", EPOCH, 0, 0, 1, 1, 1]}
    _append_line(former, nonsense)
    own = opened(tmp_path, "own")
    own.note(settle(5, 9))
    own.commit()
    _append_line(own, nonsense)
    places = [(former.directory, str(tmp_path / "state" / "former.json"))]
    copy = str(tmp_path / "state" / "own.json")
    assert Checkpoint(own.directory, copy, places).set_aside() == 1  # its own
    again = Checkpoint(own.directory, copy, places)
    assert again.set_aside() == 0
    assert again.state.is_settled(EPOCH, "spans", 1)
    assert len(Path(own.directory, journal.ASIDE).read_text().splitlines()) == 1


def _append_line(to: Checkpoint, entry: dict[str, Any]) -> None:
    text = json.dumps(entry).encode()
    with open(os.path.join(to.directory, journal.JOURNAL), "ab") as file:
        file.write(b"%08x %b\n" % (binascii.crc32(text), text))


def test_a2_it_compacts_to_a_size_that_does_not_grow_with_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "COMPACT_BYTES", 4096)
    one = opened(tmp_path)
    for number in range(1, 500):
        one.note(batch(number, number))
        one.commit()
        one.note(done(number, number))
        one.commit()
    path = Path(one.directory) / journal.JOURNAL
    assert path.stat().st_size < 3 * 4096
    assert opened(tmp_path).state == one.state


def test_a_disk_that_is_full_for_a_while_leaves_no_torn_line_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opened(tmp_path)
    one.note(settle(1, 1))
    one.commit()
    whole = os.write

    def short(fd: int, data: bytes) -> int:
        whole(fd, bytes(data[:7]))
        raise OSError(errno.ENOSPC, "full")

    one.note(settle(2, 2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short)
        with pytest.raises(OSError, match="full"):
            one.commit()
    one.note(settle(3, 3))
    one.commit()
    found = opened(tmp_path).state
    assert all(found.is_settled(EPOCH, "spans", seq) for seq in (1, 2, 3))


def test_s5_a_journal_that_is_a_link_or_a_fifo_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "session" / "upload" / "d"
    directory.mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(b"")
    (directory / journal.JOURNAL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolError):
        opened(tmp_path)
    (directory / journal.JOURNAL).unlink()
    os.mkfifo(directory / journal.JOURNAL)
    with pytest.raises(SpoolError):
        opened(tmp_path)


def test_ids_can_be_told_before_anything_else_was(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.note_ids("run", [("r", "server-1")])
    told = json.loads((Path(one.directory) / journal.IDS).read_text())
    assert told == {"kind": "run", "session": "r", "id": "server-1"}
