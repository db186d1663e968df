"""The agent's own copy of what is acknowledged: now and then while a session lives, and whole once it is closed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.home import Held, Home
from tests.support.house import House
from tracehoused.config import resolve
from tracehoused.upload.engine import Engine

JOB = """
    trace = cm.init(session_id="chatty", auto_create=True)
    for line in sys.stdin:
        trace.log_user(line.strip())
        trace.flush()
        print("said", flush=True)
    trace.finish(outcome="good")
"""


def _copies(state: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(state, "acks").glob("*/*.json")}


def test_s1_a_live_sessions_copy_does_not_follow_each_record_and_is_whole_in_the_end(home: Home, house: House) -> None:
    settings = resolve({}, environ=home.environ)
    engine = Engine(settings, home.environ, copy_every=3600.0)
    job = home.start_job(JOB)
    assert job.stdin is not None
    assert job.stdout is not None
    found = []
    for text in ("one", "two", "three"):
        job.stdin.write(f"{text}\n")
        job.stdin.flush()
        assert job.stdout.readline() == "said\n"
        report = engine.drain(str(home.session()))
        assert report.live
        found.append(_copies(settings.state_dir))
    assert len(found[0]) == 1
    assert found[0] == found[1] == found[2]
    job.communicate(timeout=60)
    report = engine.drain(str(home.session()))
    engine.close()
    assert report.outcome.complete, report.outcome.trouble
    [copy] = _copies(settings.state_dir).values()
    assert copy != next(iter(found[0].values()))
    shutil.rmtree(home.session() / "upload")
    sent: list[int] = []
    engine = Engine(settings, home.environ)
    engine.on_sent(lambda records, size: sent.append(records))
    assert engine.drain(str(home.session())).outcome.complete
    engine.close()
    assert not sent
    with Held(house) as held:
        assert held.texts("chatty") == ["one", "two", "three"]
