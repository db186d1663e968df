"""A3: a record whose checksum is right and whose content is nonsense costs itself: nothing else of its session, and no other one."""

from __future__ import annotations

import binascii
import json
import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.segments import AT, EPOCH, header, line, manifest, metrics, session, span
from tracehouse.spool import layout
from tracehouse.spool.manifest import Manifest
from tracehoused.config import resolve
from tracehoused.identities.credentials import Credential
from tracehoused.letters import letters_of, records_of, retry
from tracehoused.status import look
from tracehoused.upload.checkpoint import ASIDE, JOURNAL
from tracehoused.upload.engine import Engine
from tracehoused.upload.state import State

_DEEP = '{"a":' + "[" * 5000 + "]" * 5000 + "}"
_NEARLY_DEEP = '{"a":' + "[" * 400 + "]" * 400 + "}"
_PICTURE = b"GIF89a"
_NAME = f"{sha256(_PICTURE).hexdigest()}.gif"
_FILE = f'"file":"{_NAME}","size":{len(_PICTURE)},"media_type":"image"'
HOSTILE = {
    "dropped": [
        '{"records":"abc","reasons":{}}',
        '{"records":[1]}',
        '{"records":NaN}',
        '{"records":1e999,"reasons":5}',
    ],
    "exit": ['{"status":["x"]}', '{"status":{"a":1},"at":[]}'],
    "media": ["{x}", _DEEP, _NEARLY_DEEP, "{" + _FILE + ',"key":"\\ud800","caption":5}'],
    "artifact": ["{x}", _DEEP, '{"name":[1],"kind":{}}', '{"name":"n","kind":"json","data":NaN}'],
    "span": ["{x}", '{"session_id":[1]}'],
    "metrics": ["{x}", '{"step":"x","values":{"_a":{"_type":"number","value":"NaN"}}}', _DEEP],
    "run_patch": ['{"x":NaN}', '{"x":1e999}', '{"status":["x"]}', '{"status":5,"ended_at":{}}', _NEARLY_DEEP],
    "trace_patch": ['{"session_id":"q","x":Infinity}', '{"session_id":[1],"metadata":5}'],
    "push_model_card": ['{"x":-Infinity}', _DEEP],
    "trace": ['{"session_id":"z","x":NaN}', '{"session_id":{"a":1},"x":"\\ud800"}'],
    "config_patch": ['{"a":1e999}'],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a3_a_hostile_record_costs_itself(home: Home, house: House, kind: str) -> None:
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    for at, data in enumerate(HOSTILE[kind]):
        name = f"hostile-{kind}-{at}"
        of = Manifest({**manifest("run", name, api_base=house.url).to_dict(), "uid": secrets.token_hex(16)})
        lines = [
            line(1, "segment", header(of), uid=of.uid),
            line(2, "run", {"client_run_id": name, "name": "r", "started_at": AT}, uid=of.uid),
            line(3, kind, data, uid=of.uid),
            line(4, "metrics", metrics(1), uid=of.uid),
            line(5, kind, data, uid=of.uid),
            line(6, "metrics", metrics(2), uid=of.uid),
        ]
        path = str(session(home.spool, of, lines))
        os.mkdir(os.path.join(path, layout.MEDIA), 0o700)
        Path(path, layout.MEDIA, _NAME).write_bytes(_PICTURE)
        for _ in range(2):
            report = engine.drain(path)
            assert report.outcome.complete, (data[:60], report.outcome.trouble)
        assert look(engine, path).state != "unreadable"
        with Held(house) as held:
            assert held.points(name) == {("loss", 1): 1, ("loss", 2): 1}, data[:60]
    engine.close()


SENSELESS_BOUNDS = [
    ["create", EPOCH, 0, 10, 900, 2, 2],  # of lanes that have no batches
    ["patches", EPOCH, 0, 10, 900, 4, 4],
    ["nowhere", EPOCH, 0, 10, 900, 2, 2],
    ["metrics", "../../x", 0, 10, 900, 3, 3],
    ["metrics", EPOCH, -1, 10, 900, 3, 3],
    ["metrics", EPOCH, 0, -10, 900, 3, 3],
    ["metrics", EPOCH, 0, 10, 10**30, 3, 3],
    ["metrics", EPOCH, 0, 900, 10, 3, 3],
    ["metrics", EPOCH, 0, 10, 900, 3, 2],
]


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("bounds", SENSELESS_BOUNDS, ids=str)
def test_a3_a_journalled_batch_that_can_be_none_is_set_aside_told_once_and_costs_nothing(
    home: Home, house: House, caplog: pytest.LogCaptureFixture, bounds: list[Any], compacted: bool
) -> None:
    name = f"set-aside-{secrets.token_hex(4)}"
    of = Manifest({**manifest("run", name, api_base=house.url).to_dict(), "uid": secrets.token_hex(16)})
    records = [
        ("segment", header(of)),
        ("run", {"client_run_id": name, "name": "r", "started_at": AT}),
        ("metrics", metrics(1)),
        ("run_patch", {"hf_model": "m"}),
        ("metrics", metrics(2)),
        ("exit", {"status": "finished", "at": AT}),
    ]
    lines = [line(seq, kind, data, uid=of.uid) for seq, (kind, data) in enumerate(records, 1)]
    path = str(session(home.spool, of, lines))
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    credential = engine.known_credential(of)
    assert isinstance(credential, Credential)
    place = engine.checkpoint(path, of, engine.destination(credential)).directory
    entry: dict[str, Any] = {"op": "batch", "bounds": bounds}
    if compacted:
        entry = {"op": "state", **State().to_dict(), "in_flight": [[*bounds, 1]]}
    text = json.dumps(entry).encode()
    os.makedirs(place, 0o700)
    Path(place, JOURNAL).write_bytes(b"%08x %b\n" % (binascii.crc32(text), text))
    for _ in range(3):
        report = engine.drain(path)
        assert report.outcome.complete, report.outcome.trouble
    engine.close()
    with Held(house) as held:
        assert held.points(name) == {("loss", 1): 1, ("loss", 2): 1}
        assert held.run(name)["hf_model"] == "m"
    kept = Path(place, ASIDE).read_text().splitlines()
    assert [str(bounds[0]) in one for one in kept] == [True], kept
    assert [record.levelname for record in caplog.records if "set aside" in record.message] == ["WARNING"]


def test_a1_a_journalled_batch_of_several_media_is_read_anew_one_by_one(home: Home, house: House) -> None:
    of = Manifest({**manifest("run", "two-media", api_base=house.url).to_dict(), "uid": secrets.token_hex(16)})
    records: list[tuple[str, Any]] = [
        ("segment", header(of)),
        ("run", {"client_run_id": "two-media", "name": "r", "started_at": AT}),
        ("artifact", {"name": "one", "kind": "json", "data": {}}),
        ("artifact", {"name": "two", "kind": "json", "data": {}}),
    ]
    lines = [line(seq, kind, data, uid=of.uid) for seq, (kind, data) in enumerate(records, 1)]
    path = str(session(home.spool, of, lines))
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    credential = engine.known_credential(of)
    assert isinstance(credential, Credential)
    journal = engine.checkpoint(path, of, engine.destination(credential))
    start, end = len(lines[0]) + len(lines[1]), sum(map(len, lines))
    journal.note({"op": "batch", "bounds": ["artifacts", EPOCH, 0, start, end, 3, 4]})
    journal.commit()
    report = engine.drain(path)
    engine.close()
    assert report.outcome.complete, report.outcome.trouble
    with Held(house) as held:
        assert held.artifacts("two-media") == ["one", "two"]


def test_a3_what_nobody_foresaw_of_a_session_is_told_as_its_trouble_and_its_lease_given_up(
    home: Home, house: House
) -> None:
    of = Manifest({**manifest("run", "unforeseen", api_base=house.url).to_dict(), "uid": secrets.token_hex(16)})
    records = [("segment", header(of)), ("run", {"client_run_id": "unforeseen"}), ("metrics", metrics(1))]
    lines = [line(seq, kind, data, uid=of.uid) for seq, (kind, data) in enumerate(records, 1)]
    path = str(session(home.spool, of, lines))
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    engine.on_sent(lambda records, size: [][size])
    report = engine.drain(path)
    assert not report.outcome.complete
    assert "cannot be read: IndexError" in report.outcome.trouble
    engine.on_sent(lambda records, size: None)
    assert engine.drain(path).left == 0
    engine.close()
    with Held(house) as held:
        assert held.points("unforeseen") == {("loss", 1): 1}


def test_a3_a_status_that_is_no_text_is_none(home: Home, house: House) -> None:
    of = Manifest({**manifest("run", "no-status", api_base=house.url).to_dict(), "uid": secrets.token_hex(16)})
    records = [
        ("segment", header(of)),
        ("run", {"client_run_id": "no-status", "name": "r", "started_at": AT}),
        ("run_patch", {"status": ["x"], "ended_at": {}}),
        ("exit", {"status": "finished", "at": AT}),
    ]
    lines = [line(seq, kind, data, uid=of.uid) for seq, (kind, data) in enumerate(records, 1)]
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    report = engine.drain(str(session(home.spool, of, lines)))
    engine.close()
    assert report.outcome.complete, report.outcome.trouble
    with Held(house) as held:
        assert held.run("no-status")["status"] == "finished"


UNKNOWN = {
    "trace_patch": {"outcome": "perhaps"},
    "run_patch": {"status": "perhaps", "ended_at": AT},
    "exit": {"status": "perhaps", "at": AT},
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a3_a_status_that_the_server_does_not_know_is_a_dead_letter_and_all_else_arrives(
    home: Home, house: House, kind: str
) -> None:
    name = f"perhaps-{kind}"
    is_run = kind in ("run_patch", "exit")
    of = manifest("run" if is_run else "trace", name, api_base=house.url)
    of = Manifest({**of.to_dict(), "uid": secrets.token_hex(16)})
    created = {"client_run_id": name, "name": "r", "started_at": AT}
    if not is_run:
        created = {"session_id": name, "scaffold": "s", "started_at": AT}
    records: list[tuple[str, Any]] = [
        ("segment", header(of)),
        ("run" if is_run else "trace", created),
        (kind, UNKNOWN[kind]),
        ("metrics", metrics(1)) if is_run else ("span", span(1, name)),
    ]
    if kind != "exit":
        records.append(("close", {"at": AT}))
    lines = [line(seq, kind, data, uid=of.uid) for seq, (kind, data) in enumerate(records, 1)]
    path = str(session(home.spool, of, lines))
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    for _ in range(2):
        report = engine.drain(path)
        assert report.outcome.complete, report.outcome.trouble
        assert report.dead == 1
    [letter] = letters_of(engine, path)
    assert (letter.seq, letter.type, letter.status, letter.parked) == (3, kind, 422, False)
    assert "perhaps" in str(records_of(engine, path, [letter])[0][1])
    again = retry(engine, path, lambda letter: True)
    assert (again.accepted, again.left, again.trouble) == (0, 1, "")
    assert look(engine, path).uploaded
    engine.close()
    with Held(house) as held:
        assert held.points(name) if is_run else held.texts(name), "all else of it is there"
