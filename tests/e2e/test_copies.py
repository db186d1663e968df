"""The agent's own copy of what is acknowledged: now and then while a session lives, and whole once it is closed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.waiting import wait_until
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


def _say(job: subprocess.Popen[str], text: str) -> None:
    assert job.stdin is not None
    assert job.stdout is not None
    job.stdin.write(f"{text}\n")
    job.stdin.flush()
    assert job.stdout.readline() == "said\n"


def _sent_without_journal(home: Home) -> list[int]:
    shutil.rmtree(home.session() / "upload")
    sent: list[int] = []
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    engine.on_sent(lambda records, size: sent.append(records))
    assert engine.drain(str(home.session())).outcome.complete
    engine.close()
    return sent


def test_s1_a_live_sessions_copy_does_not_follow_each_record_and_is_whole_in_the_end(home: Home, house: House) -> None:
    settings = resolve({}, environ=home.environ)
    engine = Engine(settings, home.environ, copy_every=3600.0)
    job = home.start_job(JOB)
    found = []
    for text in ("one", "two", "three"):
        _say(job, text)
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
    assert not _sent_without_journal(home)
    with Held(house) as held:
        assert held.texts("chatty") == ["one", "two", "three"]


def test_s1_a_copy_that_was_not_due_is_made_by_a_later_pass_that_finds_nothing_new(home: Home, house: House) -> None:
    settings = resolve({}, environ=home.environ)
    engine = Engine(settings, home.environ, copy_every=1.0)
    job = home.start_job(JOB)
    _say(job, "one")
    session = str(home.session())
    engine.drain(session)
    first = _copies(settings.state_dir)
    _say(job, "two")
    engine.drain(session)
    wait_until(lambda: engine.drain(session).live and _copies(settings.state_dir) != first)
    assert not _sent_without_journal(home)
    job.communicate(timeout=60)
    engine.close()


def test_s1_the_copies_of_quiet_sessions_are_whole_when_the_agent_ends_and_when_the_next_one_begins(
    home: Home, house: House
) -> None:
    settings = resolve({}, environ=home.environ)
    job = home.start_job(JOB)
    engine = Engine(settings, home.environ, copy_every=3600.0)
    for text in ("one", "two"):
        _say(job, text)
        engine.drain(str(home.session()))
    [behind] = _copies(settings.state_dir).items()
    engine.close()
    [whole] = _copies(settings.state_dir).items()
    assert whole != behind
    behind[0].write_bytes(behind[1])  # as if it had been killed
    engine = Engine(settings, home.environ, copy_every=3600.0)
    engine.drain(str(home.session()))
    assert list(_copies(settings.state_dir).items()) == [whole]
    assert not _sent_without_journal(home)
    job.communicate(timeout=60)
    engine.close()
