"""The agent's own copy of what is acknowledged: now and then while a session lives, and whole once it is closed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

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


SEGMENTS = """
    run = cm.TrainingRun(client_run_id="copied", system_metrics=False, capture_env=False)
    for step in range(30):
        run.log({"loss": step}, step=step)
        if step in (9, 19):
            run._session.log.close()  # as it is when a segment is full
    run.finish()
"""


def _copied_but_the_first(home: Home, tmp_path: Path) -> tuple[Path, Path]:
    """The session's first segment, and a copy of the session that lacks it."""
    source = home.session()
    first, *others = sorted(source.glob("*.jsonl"))
    copy = tmp_path / "copy" / source.name
    copy.mkdir(parents=True)
    for path in (source / "session.json", *others):
        shutil.copy2(path, copy / path.name)
    return first, copy


@pytest.mark.parametrize("begun", [False, True], ids=["missing", "begun"])
def test_a1_a_segment_that_a_copy_brings_after_those_that_follow_it_is_sent_before_anything_is_deleted(
    home: Home, house: House, tmp_path: Path, begun: bool
) -> None:
    """As tar, rsync and a browser's downloads do: in any order, and what is large arrives bit by bit."""
    home.job(SEGMENTS)
    first, copy = _copied_but_the_first(home, tmp_path)
    if begun:
        (copy / first.name).write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    done = home.run("sync", str(copy.parent))
    assert done.code == 1
    assert ("are no record" in done.err, "records are missing" in done.err) == (begun, not begun)
    shutil.copy2(first, copy / first.name)
    assert home.run("sync", str(copy.parent)).code == 0
    with Held(house) as held:
        assert sorted(step for _, step in held.points("copied")) == list(range(30))
    assert "freed" in home.run("prune", str(copy.parent), "--older-than", "0").out
    assert not list(copy.glob("*.jsonl"))


def test_a1_what_a_copy_has_of_a_late_segment_is_not_deleted_before_it_was_sent(
    home: Home, house: House, tmp_path: Path
) -> None:
    home.job(SEGMENTS)
    first, copy = _copied_but_the_first(home, tmp_path)
    assert "left:" not in home.run("sync", str(copy.parent)).err
    shutil.copy2(first, copy / first.name)
    assert "freed" not in home.run("prune", str(copy.parent), "--older-than", "0").out
    assert (copy / first.name).exists()


def test_s3_a_segment_that_a_copy_lacks_is_told_until_a_later_copy_brings_it(
    home: Home, house: House, tmp_path: Path
) -> None:
    home.job(SEGMENTS)
    source = home.session()
    spool = tmp_path / "copy"
    copy = Path(shutil.copytree(source, spool / source.name))
    lacking = sorted(copy.glob("*.jsonl"))[1]
    lacking.unlink()

    def problems() -> list[str]:
        [told] = home.run("verify", str(spool), "--json").json["sessions"]
        return [problem for problem in told["problems"] if "acknowledged" not in problem]

    told = f"10 records are missing: {lacking.name} is not here; where this is a copy, copy again"
    assert problems() == [told]
    done = home.run("sync", str(spool))
    assert (done.code, "10 records are missing" in done.err) == (1, True)
    assert problems() == [told]
    # as damage, it is told where it is met
    done = home.run("sync", str(spool))
    assert (done.code, done.err) == (0, "")
    shutil.copy2(source / lacking.name, lacking)
    done = home.run("sync", str(spool))
    assert (done.code, done.err) == (0, "")
    assert home.run("verify", str(spool)).code == 0


def test_s3_segments_of_a_living_job_that_were_deleted_after_their_acknowledgement_are_not_missed(
    home: Home, house: House
) -> None:
    job = home.start_job("""
    run = cm.TrainingRun(client_run_id="long", system_metrics=False, capture_env=False)
    for line in sys.stdin:
        run.log({"loss": int(line)}, step=int(line))
        run._session.log.close()  # as it is when a segment is full
        print("logged", flush=True)
    """)
    assert job.stdin is not None
    assert job.stdout is not None
    for step in range(4):
        job.stdin.write(f"{step}\n")
        job.stdin.flush()
        assert job.stdout.readline() == "logged\n"
        done = home.sync()
        assert (done.code, done.err) == (0, "")
        if step == 1:
            for path in home.session().glob("*.jsonl"):
                path.unlink()
    job.communicate(timeout=60)
    done = home.sync()
    assert (done.code, done.err) == (0, "")
    assert home.run("verify", str(home.spool)).code == 0


def test_a1_a_line_that_was_torn_in_a_copy_is_sent_once_a_later_copy_has_it_whole(
    home: Home, house: House, tmp_path: Path
) -> None:
    """Its session was closed when it was copied first: nobody writes there any more, as far as that copy tells."""
    job = home.start_job("""
    def run():
        return cm.TrainingRun(client_run_id="torn", system_metrics=False, capture_env=False)

    begun = run()
    begun.log({"loss": 0}, step=0)
    begun.finish()
    print("closed", flush=True)
    sys.stdin.readline()
    begun = run()
    for step in range(1, 6):
        begun.log({"loss": step}, step=step)
    begun.flush()
    print("resumed", flush=True)
    sys.stdin.readline()
    begun.finish()
    """)
    assert job.stdin is not None
    assert job.stdout is not None
    copy = tmp_path / "copy"

    def sync(word: str, torn: int = 0) -> None:
        if word:
            assert job.stdout is not None
            assert job.stdout.readline() == f"{word}\n"
        shutil.copytree(home.session(), copy / home.session().name, dirs_exist_ok=True)
        last = max((copy / home.session().name).glob("*.jsonl"))
        with last.open("r+b") as file:
            file.truncate(last.stat().st_size - torn)
        assert home.run("sync", str(copy)).code == 0

    sync("closed")
    job.stdin.write("\n")
    job.stdin.flush()
    sync("resumed", torn=20)
    job.communicate("\n", timeout=60)
    sync("")
    with Held(house) as held:
        assert sorted(step for _, step in held.points("torn")) == list(range(6))
