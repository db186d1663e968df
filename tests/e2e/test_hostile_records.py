"""A3: a record whose checksum is right and whose content is nonsense costs itself: nothing else of its session, and no other one."""

from __future__ import annotations

import os
import secrets
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.segments import AT, EPOCH, header, line, manifest, metrics, session
from tracehouse.spool import layout
from tracehouse.spool.manifest import Manifest
from tracehoused.config import resolve
from tracehoused.identities.credentials import Credential
from tracehoused.status import look
from tracehoused.upload.engine import Engine

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


def test_a3_what_nobody_foresaw_of_a_session_is_told_as_its_trouble(home: Home, house: House) -> None:
    of = Manifest({**manifest("run", "unforeseen", api_base=house.url).to_dict(), "uid": secrets.token_hex(16)})
    lines = [line(1, "segment", header(of), uid=of.uid), line(2, "run", {"client_run_id": "unforeseen"}, uid=of.uid)]
    path = str(session(home.spool, of, lines))
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    credential = engine.known_credential(of)
    assert isinstance(credential, Credential)
    journal = engine.checkpoint(path, of, engine.destination(credential))
    start, end = len(lines[0]), len(lines[0]) + len(lines[1])
    journal.note({"op": "batch", "bounds": ["create", EPOCH, 0, start, end, 2, 2]})  # of a lane that has no batches
    journal.commit()
    report = engine.drain(path)
    engine.close()
    assert not report.outcome.complete
    assert "cannot be read" in report.outcome.trouble


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
