"""File events are hints: without them, or with too few of them, everything still arrives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.support import Site, heard, send
from tests.support.house import House, all_points
from tests.support.waiting import wait_until
from tracehouse.spool import layout
from tracehoused.service.tracked import Tracked
from tracehoused.service.watcher import Watcher
from tracehoused.service.watches import LATELY, Watches

_MANY = """
    runs = [cm.TrainingRun(client_run_id=f"r{n}", system_metrics=False, capture_env=False) for n in range(int(sys.argv[1]))]
    print("ready", flush=True)
    for line in sys.stdin:
        for run in runs:
            run.log({"loss": float(line)})
        print("logged", flush=True)
"""
_STARVED = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
_SHORT = 'echo 10 > /proc/sys/user/max_inotify_watches && exec "$@"'
_AGENT = "from tracehoused.cli.main import tracehoused; tracehoused()"


def _held(house: House) -> dict[str, list[float]]:
    with house.client() as client:
        runs = client.get("/v1/runs", params={"limit": 500}).json()["runs"]
        return {run["client_run_id"]: [p[4] for p in all_points(client, run["id"], "loss")] for run in runs}


def _can_starve() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", _STARVED, "sh", "true"], capture_output=True)
    return done.returncode == 0


@pytest.mark.skipif(not _can_starve(), reason="needs user namespaces")
def test_a6_with_no_inotify_to_be_had_it_says_so_polls_and_still_delivers(site: Site, house: House) -> None:
    site.environ["TRACEHOUSE_RESCAN_EVERY"] = "1"
    words = ["unshare", "-Ur", "sh", "-c", _STARVED, "sh", sys.executable, "-c", _AGENT, "start", "--foreground"]
    process = subprocess.Popen(words, env=site.environ, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "polling instead" not in (line := process.stderr.readline()):
            assert line, "it ended without a word on it"
        job = site.job(_MANY, "3")
        assert heard(job) == "ready"
        for value in (1.0, 2.0):
            send(job, str(value))
            assert heard(job) == "logged"
            wanted = [float(n) for n in range(1, int(value) + 1)]
            wait_until(lambda: _held(house) == {f"r{n}": wanted for n in range(3)}, what=lambda: str(_held(house)))  # noqa: B023
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stderr.close()


@pytest.mark.skipif(not _can_starve(), reason="needs user namespaces")
def test_a6_more_live_sessions_than_watches_all_arrive(site: Site, house: House) -> None:
    count = 30
    words = ["unshare", "-Ur", "sh", "-c", _SHORT, "sh", sys.executable, "-c", _AGENT, "start", "--foreground"]
    process = subprocess.Popen(words, env=site.environ, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: bool(site.status()["running"]), what=lambda: str(site.status()))
        job = site.job(_MANY, str(count))
        assert heard(job) == "ready"
        for value in (1.0, 2.0):
            send(job, str(value))
            assert heard(job) == "logged"
            wanted = [float(n) for n in range(1, int(value) + 1)]
            wait_until(lambda: list(_held(house).values()) == [wanted] * count, what=lambda: str(_held(house)))  # noqa: B023
        assert 2 < site.status()["agent"]["watches"] <= 10
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a6_of_a_hundred_live_sessions_each_has_hints(site: Site, house: House) -> None:
    pid = site.start()
    job = site.job(_MANY, "100")
    assert heard(job) == "ready"
    send(job, "1")
    assert heard(job) == "logged"
    wait_until(lambda: list(_held(house).values()) == [[1.0]] * 100, what=lambda: str(_held(house)))
    watches = sum(path.read_text().count("inotify wd") for path in Path(f"/proc/{pid}/fdinfo").iterdir())
    assert watches == 102


def test_a10_of_many_sessions_those_that_grew_lately_have_watches_and_few_of_the_others(tmp_path: Path) -> None:
    watcher = Watcher()
    sessions: dict[str, Tracked] = {}
    watches = Watches(watcher, sessions)
    try:
        watcher.add_spool(str(tmp_path))
        if watcher.problem:
            pytest.skip(watcher.problem)
        for number in range(300):
            path = tmp_path / layout.session_dir("run", f"r{number}", "http://x", None)
            path.mkdir()
            sessions[str(path)] = Tracked(str(path), 0.0)
            assert watches.give(sessions[str(path)], 0.0) is None
        assert watcher.watches == 302
        lately = list(sessions.values())[:200]
        for session in lately:
            session.grew = 30.0
            watches.renew(session)
        assert watches.next_rest == LATELY
        assert not list(watches.at_rest(LATELY - 1))
        assert not any(session.watched for session in watches.at_rest(LATELY))
        assert watcher.watches == 202
        assert all(session.watched for session in lately)
        assert watches.next_rest == LATELY + 30.0
        list(watches.at_rest(LATELY + 30.0))
        assert (watcher.watches, watches.next_rest) == (64, None)
        [resting, *_] = [session for session in lately if not session.watched]
        assert watches.give(resting, LATELY + 30.0) is None
        assert not resting.watched
        resting.grew = LATELY + 30.0
        watches.give(resting, LATELY + 30.0)
        watcher.wait(0)
        Path(resting.path, layout.segment_name("0" * 16, 0)).write_text("x")
        assert watcher.wait(10).sessions == {resting.path}
    finally:
        watcher.close()


def test_a10_settled_sessions_keep_no_watch_and_are_not_looked_at_by_the_next_start(site: Site) -> None:
    for number in range(3):
        site.finished_job('cm.init(session_id=sys.argv[1]); cm.log_user("x"); cm.finish()', f"t{number}")
    site.start()
    wait_until(lambda: site.status()["agent"]["sessions"]["settled"] == 3, what=lambda: str(site.status()))
    assert site.status()["agent"]["watches"] == 2
    journals = [path.stat().st_mtime_ns for path in site.spool.glob("trace-*/upload/*/*")]
    site.tracehoused("restart")
    status = site.status()["agent"]
    assert status["sessions"]["settled"] == 3
    assert not status["requests"]
    assert journals == [path.stat().st_mtime_ns for path in site.spool.glob("trace-*/upload/*/*")]


@pytest.mark.parametrize("is_link", [False, True])
def test_a_watcher_tells_of_new_sessions_of_records_and_of_writers_that_end(tmp_path: Path, is_link: bool) -> None:
    spool = tmp_path / "spool"
    if is_link:
        (tmp_path / "disk").mkdir()
        spool.symlink_to(tmp_path / "disk")
    else:
        spool.mkdir()
    session = spool / layout.session_dir("run", "r", "http://x", None)
    watcher = Watcher()
    try:
        watcher.add_spool(str(spool))
        if "inotify" in watcher.problem:
            pytest.skip(watcher.problem)
        assert not watcher.problem
        session.mkdir()
        assert watcher.wait(10).sessions == {str(session)}
        assert watcher.watch(str(session))
        segment = session / layout.segment_name("0" * 16, 0)
        segment.write_text("x")
        assert watcher.wait(10).sessions == {str(session)}
        (session / "notes.txt").write_text("x")
        os.mkdir(session / "upload")
        assert not watcher.wait(0).sessions
        (spool / ".writers" / f"{'0' * 16}.lock").write_text("{}")
        assert watcher.wait(10).ended == {"0" * 16}
        watcher.unwatch(str(session))
        segment.write_text("y")
        assert not watcher.wait(0).sessions
        watcher.wake()
        assert not watcher.wait(10).sessions
    finally:
        watcher.close()
