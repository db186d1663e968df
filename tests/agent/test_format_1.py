"""S4: a spool of format 1, written once and committed, is read by every later version."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tracehouse.spool import layout, record
from tracehoused.upload.batch import Limits
from tracehoused.upload.reader import measure, read_manifest, session_dirs, writers
from tracehoused.upload.rounds import Reading, Round
from tracehoused.upload.state import State
from tracehoused.upload.wire import renders

DATA = Path(__file__).parent / "data" / "spool-format-1"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A copy with the modes that a checkout does not keep."""
    copy = tmp_path / "spool"
    shutil.copytree(DATA, copy)
    for path in copy.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return copy


def rounds(session: str, uid: str, *, ended: bool) -> list[Round]:
    epochs = writers(session)
    measure(session, epochs)
    found = []
    for epoch in epochs:
        reading = Reading(session, uid, epoch, State(), Limits(), renders(True), ended=ended)
        while (one := reading.next()) is not None:
            found.append(one)
    return found


def test_s4_its_sessions_and_all_their_records_are_found(spool: Path) -> None:
    found = {read_manifest(path).id: path for path in session_dirs(str(spool))}
    assert sorted(found) == ["chat/1 ü", "ppo-1", "torn"]
    manifest = read_manifest(found["ppo-1"])
    assert (manifest.kind, manifest.machine_id, manifest.hostname) == ("run", "node-1-linux", "node-1")
    assert (manifest.api_base, manifest.credential, manifest.project) == ("https://house.example", None, "fixture")
    [one] = rounds(found["ppo-1"], manifest.uid, ended=True)
    assert one.damaged_bytes == 0
    assert one.seen.to_list() == [[1, 31]]
    assert Counter(batch.bounds.lane for batch in one.batches)["media"] == 2
    assert [record.type for record in one.creates] == [b"run", *[b"trace"] * 4]
    parts = b",".join(part for batch in one.batches if batch.bounds.lane == "metrics" for part in batch.parts)
    values = {(point["key"], point["step"]): point["value"] for point in json.loads(b"[" + parts + b"]")}
    assert values["loss", 0] == 1.0
    assert values["loss", 6] == {"_type": "number", "value": "NaN"}
    assert values["big", 6] == 2**70
    assert values["text", 6] == 'ü \ud800 \0 "'


def test_s4_its_torn_tail_costs_itself(spool: Path) -> None:
    [session] = [path for path in session_dirs(str(spool)) if read_manifest(path).id == "torn"]
    [one] = rounds(session, read_manifest(session).uid, ended=True)
    assert one.seen.to_list() == [[1, 3]]
    assert one.damaged_lines == 1


def test_s4_every_line_but_the_torn_one_passes_its_checksum() -> None:
    for path in DATA.glob("*/*.jsonl"):
        name = layout.parse_segment_name(path.name)
        assert name is not None
        seed = record.checksum_seed(read_uid(path.parent), name.epoch)
        *lines, tail = path.read_bytes().split(b"\n")
        assert all(record.parse(line, seed) for line in lines)
        assert (tail == b"") == ("torn" not in path.parent.name)


def read_uid(session: Path) -> str:
    return str(json.loads((session / layout.MANIFEST).read_text())["uid"])
