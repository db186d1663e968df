"""A3: a record whose checksum is right and whose content is nonsense costs itself: nothing else of its session, and no other one."""

from __future__ import annotations

import secrets

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.segments import AT, header, line, manifest, metrics, session
from tracehouse.spool.manifest import Manifest
from tracehoused.config import resolve
from tracehoused.status import look
from tracehoused.upload.engine import Engine

HOSTILE = {
    "dropped": [
        '{"records":"abc","reasons":{}}',
        '{"records":[1]}',
        '{"records":NaN}',
        '{"records":1e999,"reasons":5}',
    ],
    "exit": ['{"status":["x"]}', '{"status":{"a":1},"at":[]}'],
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
        for _ in range(2):
            report = engine.drain(path)
            assert report.outcome.complete, (data[:60], report.outcome.trouble)
        assert look(engine, path).state != "unreadable"
        with Held(house) as held:
            assert held.points(name) == {("loss", 1): 1, ("loss", 2): 1}, data[:60]
    engine.close()
