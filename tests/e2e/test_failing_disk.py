"""A2, A8: an agent whose own files cannot be written, locked away or deleted: told in a word, ended by it never, gone on with later."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import lanes
from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy, held, lost, proxied
from tests.support.servers import Received
from tests.support.strace import failing
from tests.support.waiting import wait_until
from tracehouse.spool import layout, liveness
from tracehoused.service.ledger import Ledger, Note
from tracehoused.service.lookout import Lookout
from tracehoused.service.pidfile import PidFile
from tracehoused.upload.lease import Lease

_PROGRAM = [sys.executable, "-c", "from tracehoused.cli.main import tracehoused; tracehoused()"]
# a disk that takes no more of a file than so many bytes
_NO_LONGER = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""
_TOLD = {"since": "", "spools": [], "log_file": None, "words": [], "manager": ""}


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a8_a_lease_that_cannot_be_taken_away_is_given_up_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", _full)
        lease.close()
    Lease(str(tmp_path)).close()


def test_an_agent_whose_pid_file_cannot_be_emptied_is_no_agent_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = PidFile(str(tmp_path))
    assert file.take(_TOLD) is None
    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", _full)
        file.release()
    assert file.running() is None
    assert PidFile(str(tmp_path)).take(_TOLD) is None


def test_what_could_not_be_noted_down_is_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, root = str(tmp_path / "state"), tmp_path / "spool"
    root.mkdir()
    lookout = Lookout([str(root)], state, rescan_every=60, dead_after=60, credentials=[])
    lookout.open()
    note = Note(1, 1.0, 1.0, 1, 1, 0, False)
    lookout.spools[str(root)].ledger.put("run-a", note)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", _full)
        lookout.save()
        assert not len(Ledger(state, str(root)))
    lookout.save()
    assert [name for name, _ in Ledger(state, str(root)).items()] == ["run-a"]
    lookout.spools[str(root)].ledger.put("run-b", note)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", _full)
        lookout.close()
    assert not liveness.is_locked(str(root / layout.AGENT_LOCK))


def test_what_keeps_run_once_from_running_is_told_in_a_line(tmp_path: Path) -> None:
    home = Home(tmp_path, "http://127.0.0.1:9")
    home.spool.mkdir()
    done = subprocess.run(
        [*failing("pwrite64", "ENOSPC", "1+"), *_PROGRAM, "run-once"], env=home.environ, capture_output=True, text=True
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert "the agent cannot run: [Errno 28]" in last
    assert str(tmp_path / "state" / "agent.pid") in last
    assert "Traceback" not in done.stderr


def test_an_agent_that_cannot_say_more_of_itself_reads_its_configuration_again_and_lives_on(tmp_path: Path) -> None:
    lanes.needs_linux()
    home = Home(tmp_path, "http://127.0.0.1:9")
    home.spool.mkdir()
    said = tmp_path / "said"
    with open(said, "wb") as err:
        traced = subprocess.Popen(
            [*failing("pwrite64", "ENOSPC", "2+"), *_PROGRAM, "start", "--foreground"], env=home.environ, stderr=err
        )
    try:
        wait_until(lambda: "started" in said.read_text(), what=said.read_text)
        running = PidFile(str(tmp_path / "state")).running()
        assert running is not None
        os.kill(running.pid, signal.SIGHUP)
        wait_until(lambda: said.read_text().count("started") == 2 or traced.poll() is not None, what=said.read_text)
        assert PidFile(str(tmp_path / "state")).running() == running
        os.kill(running.pid, signal.SIGTERM)
        assert traced.wait(60) == 0, said.read_text()
        assert "agent.pid" in said.read_text()
    finally:
        traced.kill()
        traced.wait()


_JOB = """
run = cm.TrainingRun(client_run_id=sys.argv[1], system_metrics=False, capture_env=False)
run.log({"a": 0}, step=0)
print(run.flush(), flush=True)
sys.stdin.readline()
run.log({"a": 1}, step=1)
run.finish()
"""


def _finish(job: subprocess.Popen[str]) -> None:
    _, err = job.communicate("\n", timeout=60)
    assert job.returncode == 0, err


def _drained(agent: subprocess.Popen[str], house: House, name: str) -> list[float]:
    """What is there when it has ended."""
    assert agent.wait(60) == 0
    with Held(house) as there:
        return there.values(name, "a")


def test_a1_nothing_is_sent_again_while_the_journal_cannot_be_written(home: Home, house: House) -> None:
    home.job("""
    run = cm.TrainingRun(client_run_id="unwritable", system_metrics=False, capture_env=False)
    run.log({"a": 1})
    run.finish()
""")
    with proxied(house.url, lambda request: lost if request.target.endswith("/metrics") else None, plain=True) as proxy:
        base = ("--api-base", proxy.url)
        home.sync(*base)
        proxy.rule = lambda request: None
        sent = _points_sent(proxy)
        [journal] = home.session().glob("upload/*/journal.jsonl")
        no_longer = (sys.executable, "-c", _NO_LONGER, str(journal.stat().st_size))
        assert home.run("sync", str(home.spool), *base, prefix=no_longer).code == 1
        assert _points_sent(proxy) == sent
        assert home.sync(*base).code == 0
        assert _points_sent(proxy) == sent + 1, "nobody knows whether it was taken"


def _points_sent(proxy: Proxy) -> int:
    return sum(one.target.endswith("/metrics") for one in proxy.received)


def test_a_drain_uploads_what_was_recorded_while_a_pass_was_under_way(house: House, tmp_path: Path) -> None:
    go_on, began = threading.Event(), threading.Event()

    def rule(request: Received) -> Fault | None:
        if not request.target.endswith("/metrics") or began.is_set():
            return None
        began.set()
        return held(go_on)

    with proxied(house.url, rule) as proxy:
        home = Home(tmp_path, proxy.url).with_key(house.key)
        agent, job = home.start_agent(), home.start_job(_JOB, "under-way")
        try:
            assert began.wait(60)
            _finish(job)
            agent.send_signal(signal.SIGUSR1)
            go_on.set()
            assert _drained(agent, house, "under-way") == [0, 1]
        finally:
            go_on.set()
            agent.kill()
            agent.wait()


def test_a_drain_tries_what_failed_before(home: Home, house: House) -> None:
    job = home.start_job(_JOB, "failed")
    assert job.stdout is not None
    assert job.stdout.readline() == "True\n"
    blocked = home.session() / "upload"
    blocked.write_text("")
    agent = home.start_agent()
    try:
        wait_until(lambda: "not uploaded" in (home.directory / "agent.log").read_text(), what="a try that failed")
        blocked.unlink()
        agent.send_signal(signal.SIGUSR1)
        assert _drained(agent, house, "failed") == [0]
    finally:
        agent.kill()
        agent.wait()
        _finish(job)
