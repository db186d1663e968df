"""The agent beside a living job: what it logs arrives while it runs, and how it ended is told."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tracehouse.spool import layout

LIVE = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], name="r", system_metrics=False, capture_env=False)
    step = 0
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "log\\n":
            run.log({"loss": step}, step=step)
            step += 1
        elif line == "picture\\n":
            run.log({"picture": cm.Image(b"GIF89a....")}, step=step)
            run.flush()
        elif line == "finish\\n":
            run.finish()
        elif line == "again\\n":
            run = cm.TrainingRun(client_run_id=sys.argv[1], name="r", system_metrics=False, capture_env=False)
        elif line == "fail\\n":
            sys.exit(3)
        print("done", flush=True)
"""


class Job:
    """A job that does what it is told."""

    def __init__(self, home: Home, *args: str, script: str = LIVE, **more: str) -> None:
        self.process = home.start_job(script, *args, **more)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def agent(home: Home) -> Iterator[subprocess.Popen[str]]:
    process = home.start_agent()
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def told(home: Home) -> str:
    path = home.directory / "agent.log"
    return path.read_text() if path.exists() else ""


def until_held(house: House, home: Home, name: str, count: int) -> None:
    with Held(house) as there:

        def arrived() -> bool:
            return any(run["client_run_id"] == name for run in there.runs()) and len(there.points(name)) >= count

        wait_until(arrived, what=lambda: f"{count} points of {name}; the agent said: {told(home)}")


def until_status(house: House, home: Home, name: str, status: str) -> None:
    with Held(house) as there:

        def says() -> bool:
            return any(r["status"] == status for r in there.runs() if r["client_run_id"] == name)

        wait_until(says, what=lambda: f"{name} {status}; the agent said: {told(home)}")


def test_a_live_jobs_records_arrive_while_it_runs(home: Home, house: House, agent: subprocess.Popen[str]) -> None:
    job = Job(home, "live")
    for step in range(4):
        job.tell("log")
        until_held(house, home, "live", step + 1)
    with Held(house) as there:
        assert there.run("live")["status"] == "running"
    job.tell("finish")
    until_status(house, home, "live", "finished")
    job.end()
    with Held(house) as there:
        assert set(there.points("live").values()) == {1}


def test_a13_a_file_that_is_missing_holds_nothing_else_up_while_its_job_lives_and_is_sent_when_it_comes(
    home: Home, house: House
) -> None:
    job = Job(home, "awaited")
    job.tell("picture")
    [file] = (home.session() / layout.MEDIA).iterdir()
    aside = file.rename(home.directory / file.name)
    agent = home.start_agent()
    try:
        # the waits of a try that is repeated would be minutes by then
        for step in range(14):
            job.tell("log")
            until_held(house, home, "awaited", step + 1)
        aside.rename(file)
        job.tell("log")
        with Held(house) as there:
            wait_until(lambda: there.media("awaited"), what=lambda: told(home))
    finally:
        agent.kill()
        agent.wait()
    job.end()


def test_sigterm_stops_it_cleanly_and_the_next_one_goes_on(
    home: Home, house: House, agent: subprocess.Popen[str]
) -> None:
    job = Job(home, "stopped")
    job.tell("log")
    until_held(house, home, "stopped", 1)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(60) == 0, told(home)
    job.tell("log")
    again = home.start_agent()
    try:
        until_held(house, home, "stopped", 2)
    finally:
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 0
    job.kill()
    assert "Traceback" not in told(home)


def test_a_second_sigterm_ends_it_at_once_and_costs_nothing(home: Home, house: House) -> None:
    """The first one waits for the request that is under way, which here gets no reply."""
    applied = threading.Event()

    def hold(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        proxy.forward(request)
        applied.set()
        connection.recv(1)  # until the agent has gone
        return False

    with proxied(house.url, lambda request: hold if b'"step":' in request.body else None) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        job = Job(home, "forced")
        agent = home.start_agent()
        job.tell("log")
        assert applied.wait(60), told(home)
        # again and again: two that come at the same moment are one
        wait_until(lambda: agent.send_signal(signal.SIGTERM) or agent.poll() is not None, what=lambda: told(home))
        assert agent.returncode == -signal.SIGTERM
        assert "tracehoused stopped" not in told(home)
        proxy.rule = lambda request: None
        job.tell("finish")
        job.end()
        assert home.sync().code == 0
    with Held(house) as there:
        assert there.points("forced") == {("loss", 0): 1}


def test_a_house_that_comes_later_gets_everything(home: Home, house: House, agent: subprocess.Popen[str]) -> None:
    job = Job(home, "later")
    house.stop()
    job.tell("log")
    job.tell("log")
    wait_until(lambda: "onnect" in told(home) or "not answer" in told(home), what=lambda: told(home))
    house.start()
    until_held(house, home, "later", 2)
    job.kill()


def test_a7_the_run_of_a_killed_job_is_closed_crashed_at_its_last_record(
    home: Home, house: House, agent: subprocess.Popen[str]
) -> None:
    job = Job(home, "crashed")
    job.tell("log")
    until_held(house, home, "crashed", 1)
    job.kill()
    until_status(house, home, "crashed", "crashed")
    with Held(house) as there:
        run = there.run("crashed")
        assert run["ended_at"] is not None
        assert run["started_at"] <= run["ended_at"]
    resumed = Job(home, "crashed")
    until_status(house, home, "crashed", "running")
    resumed.tell("log")
    resumed.tell("finish")
    until_status(house, home, "crashed", "finished")
    resumed.end()
    with Held(house) as there:
        # both attempts logged step 0: neither is merged with the other
        assert there.points("crashed") == {("loss", 0): 2}


def test_a7_a_run_that_comes_back_to_life_is_running_each_time(home: Home, house: House) -> None:
    """Also the second time: the same words under another key."""
    for _ in range(3):
        job = Job(home, "phoenix")
        job.tell("log")
        assert home.sync().code == 0
        with Held(house) as there:
            assert there.run("phoenix")["status"] == "running"
        job.kill()
        assert home.sync().code == 0
        with Held(house) as there:
            assert there.run("phoenix")["status"] == "crashed"


def test_a7_a_killed_trace_says_so(home: Home, house: House) -> None:
    home.job("run = cm.Run(session_id='dead-trace'); run.log_user('hi'); os.kill(os.getpid(), 9)", code=-9)
    assert home.sync().code == 0
    with Held(house) as there:
        trace = there.trace("dead-trace")
        assert trace["outcome"] == "bad"
        assert "without finishing" in trace["metadata"]["error"]


def test_a7_an_outcome_that_was_given_stays(home: Home, house: House) -> None:
    script = """
        run = cm.TrainingRun(client_run_id="dead-run", system_metrics=False, capture_env=False)
        with run.rollout(step=0, session_id="given") as t:
            t.log_user("x")
            t.finish(outcome="good")
        os.kill(os.getpid(), 9)
    """
    home.job(script, code=-9)
    assert home.sync().code == 0
    with Held(house) as there:
        assert there.trace("given")["outcome"] == "good"
        assert there.run("dead-run")["status"] == "crashed"


def test_a7_no_run_closes_while_any_of_its_writers_lives(home: Home, house: House) -> None:
    first = Job(home, "ranks")
    second = Job(home, "ranks", RANK="1")
    first.tell("log")
    second.tell("log")
    first.tell("finish")
    first.end()
    assert home.sync().code == 0
    with Held(house) as there:
        assert there.run("ranks")["status"] == "running"
    second.kill()
    assert home.sync().code == 0
    with Held(house) as there:
        assert there.run("ranks")["status"] == "finished", "the creator's word wins"
        assert sum(there.points("ranks").values()) == 2


def test_a7_a_copy_proves_nothing_of_its_writers(home: Home, house: House, tmp_path: Path) -> None:
    import shutil

    job = Job(home, "copied-live")
    job.tell("log")
    (tmp_path / "there").mkdir()
    there = Home(tmp_path / "there", house.url).with_key(house.key)
    shutil.copytree(home.spool, there.spool)
    job.kill()
    assert there.sync().code == 0
    with Held(house) as held:
        assert held.run("copied-live")["status"] == "running"
    assert there.sync("--close-dead").code == 0
    with Held(house) as held:
        assert held.run("copied-live")["status"] == "crashed"
    [told] = json.loads(there.run("status", str(there.spool), "--json").out)["sessions"]
    assert told["state"] == "crashed"


def test_e7_how_a_job_ended_is_told(home: Home, house: House) -> None:
    base = "run = cm.TrainingRun(client_run_id={!r}, system_metrics=False, capture_env=False); run.log({{'x': 1}}); {}"
    endings = {
        "exit-clean": ("pass", 0, "finished"),
        "exit-3": ("sys.exit(3)", 3, "failed"),
        "raised": ("1/0", 1, "crashed"),
    }
    for name, (end, code, _) in endings.items():
        home.job(base.format(name, end), code=code)
    assert home.sync().code == 0
    with Held(house) as there:
        for name, (_, _, status) in endings.items():
            assert there.run(name)["status"] == status


def test_a13_a_run_taken_up_again_by_its_own_process_is_running(home: Home, house: House) -> None:
    job = Job(home, "again")
    job.tell("log")
    job.tell("finish")
    assert home.sync().code == 0
    with Held(house) as there:
        assert there.run("again")["status"] == "finished"
    job.tell("again")
    job.tell("log")
    assert home.sync().code == 0
    with Held(house) as there:
        assert there.run("again")["status"] == "running"
    job.tell("finish")
    job.end()
    assert home.sync().code == 0
    with Held(house) as there:
        assert there.run("again")["status"] == "finished"


def test_a13_attempts_are_kept_apart_and_in_order(home: Home, house: House) -> None:
    script = """
        run = cm.TrainingRun(client_run_id="attempts", config={"attempt": int(sys.argv[1])}, system_metrics=False, capture_env=False)
        for step in range(3):
            run.log({"loss": step * int(sys.argv[1])}, step=step)
        run.config["last"] = int(sys.argv[1])
        run.finish(status=sys.argv[2])
    """
    for attempt, status in ((1, "failed"), (2, "killed"), (3, "finished")):
        home.job(script, str(attempt), status)
    assert home.sync().code == 0
    with Held(house) as there:
        run = there.run("attempts")
        assert run["status"] == "finished"
        assert run["config"]["last"] == 3
        assert there.points("attempts") == {("loss", step): 3 for step in range(3)}


def test_a8_of_two_agents_one_uploads_and_each_record_is_there_once(
    home: Home, house: House, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    (tmp_path / "state-2").mkdir()
    other = home.start_agent(TRACEHOUSE_STATE_DIR=str(tmp_path / "state-2"))
    try:
        job = Job(home, "two-agents")
        for _ in range(20):
            job.tell("log")
        until_held(house, home, "two-agents", 20)
        job.tell("finish")
        until_status(house, home, "two-agents", "finished")
        job.end()
    finally:
        other.kill()
        other.wait()
    with Held(house) as there:
        assert set(there.points("two-agents").values()) == {1}


def test_a10_an_idle_agent_does_nothing(home: Home, house: House, agent: subprocess.Popen[str]) -> None:
    job = Job(home, "idle")
    job.tell("log")
    job.tell("finish")
    until_status(house, home, "idle", "finished")
    job.end()
    stat = Path(f"/proc/{agent.pid}/stat")
    if not stat.exists():
        pytest.skip("[linux] needs /proc")

    def work() -> int:
        """Clock ticks of the processor, and how often any of its threads was put to sleep."""
        ticks = sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))
        threads = [path.read_text() for path in Path(f"/proc/{agent.pid}/task").glob("*/status")]
        return ticks + sum(int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[0]) for text in threads)

    def is_quiet() -> bool:
        before = work()
        threading.Event().wait(1)  # a second to be seen idle in, not one to be ready after
        return work() - before <= 5

    wait_until(is_quiet, what="a second with at most five wake-ups")
