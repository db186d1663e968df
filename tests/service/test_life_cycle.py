"""Starting, stopping and asking after the agent."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.support import ROOT, Site, heard, is_alive, send
from tests.support.house import House, all_points
from tests.support.strace import counting, signalling
from tests.support.waiting import wait_until

_TALKER = """
    run = cm.init_run(project="p", client_run_id=sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        run.log({"loss": float(line)})
"""


def _points(house: House, run: str) -> list[float]:
    with house.client() as client:
        for known in client.get("/v1/runs").json()["runs"]:
            if known["client_run_id"] == run:
                return [point[4] for point in all_points(client, known["id"], "loss")]
    return []


def test_start_detaches_and_says_pid_spools_and_log(alone: Site) -> None:
    said = alone.tracehoused("start").stdout
    pid = alone.pidfile()["pid"]
    assert f"pid {pid}" in said
    assert str(alone.spool) in said
    assert str(alone.state / "tracehoused.log") in said
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    alone.tracehoused("stop")
    assert not is_alive(pid)


def test_a_second_start_says_that_one_runs_and_succeeds(alone: Site) -> None:
    pid = alone.start()
    for words in (("start",), ("start", "--foreground"), ("run-once",)):
        again = alone.tracehoused(*words)
        assert f"runs already, pid {pid}" in again.stdout
    assert alone.pidfile()["pid"] == pid


def test_status_tells_whether_it_runs(alone: Site) -> None:
    assert alone.tracehoused("status", check=False).returncode == 3
    pid = alone.start()
    status = alone.status()
    assert status["running"]
    assert status["agent"]["pid"] == pid
    alone.tracehoused("stop")
    assert not alone.status()["running"]


def test_a_reused_pid_and_a_restarted_machine_are_no_agent(alone: Site) -> None:
    alone.start()
    told = alone.pidfile()
    os.kill(told["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(told["pid"]), what="its end")
    path = alone.state / "agent.pid"
    path.write_text(json.dumps({**told, "pid": os.getpid()}))
    assert "another process by now" in alone.tracehoused("status", check=False).stdout
    path.write_text(json.dumps({**told, "boot_id": "another"}))
    assert "restart of the machine" in alone.tracehoused("status", check=False).stdout
    assert alone.start() != told["pid"]


def test_stop_with_no_agent_is_no_error(alone: Site) -> None:
    assert "does not run" in alone.tracehoused("stop").stdout


def test_what_a_job_writes_is_uploaded_while_it_runs_and_after_kill_9_of_the_agent(site: Site, house: House) -> None:
    pid = site.start()
    job = site.job(_TALKER, "r1")
    assert heard(job) == "ready"
    send(job, "1")
    wait_until(lambda: _points(house, "r1") == [1.0], what="the first point in the house")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), what="its end")
    send(job, "2")
    assert site.start() != pid
    wait_until(lambda: _points(house, "r1") == [1.0, 2.0], what="both points in the house")
    send(job, "3")
    wait_until(lambda: _points(house, "r1") == [1.0, 2.0, 3.0], what="all points in the house")


def test_stop_drain_uploads_all_there_is_first(site: Site, house: House) -> None:
    for number in range(20):
        site.finished_job(
            'run = cm.init_run(project="p", client_run_id=sys.argv[1]); run.log({"loss": 5.0})', f"r{number}"
        )
    site.start()
    site.tracehoused("stop", "--drain")
    assert all(_points(house, f"r{number}") == [5.0] for number in range(20))


def test_run_once_uploads_and_exits_with_what_is_left(site: Site, house: House) -> None:
    site.finished_job('run = cm.init_run(project="p", client_run_id="r1"); run.log({"loss": 5.0})')
    house.stop()
    assert site.tracehoused("run-once", check=False).returncode == 1
    house.start()
    assert site.tracehoused("run-once").returncode == 0
    assert _points(house, "r1") == [5.0]


def test_restart_keeps_the_options(alone: Site) -> None:
    other = alone.home / "other"
    pid = alone.start("--spool", str(other), "--allow-plain-http")
    alone.tracehoused("restart")
    assert alone.pidfile()["pid"] != pid
    assert alone.pidfile()["spools"] == [str(other)]


def test_sighup_reads_the_configuration_again_and_keeps_the_old_one_when_that_is_wrong(alone: Site) -> None:
    del alone.environ["TRACEHOUSE_SPOOL_DIR"]
    config = alone.config / "config.toml"
    config.write_text(f'spools = ["{alone.home}/one"]')
    pid = alone.start()
    config.write_text(f'spools = ["{alone.home}/one", "{alone.home}/two*"]')
    (alone.home / "two-x").mkdir()
    os.kill(pid, signal.SIGHUP)

    def spools() -> list[str]:
        told = alone.status().get("agent")  # none for a moment, while it begins anew
        return [spool["path"] for spool in told["spools"]] if told else []

    wait_until(lambda: spools() == [f"{alone.home}/one", f"{alone.home}/two-x"], what=lambda: str(spools()))
    config.write_text("jobs = 0")
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: any("wrong" in line["message"] for line in alone.log()), what="a word on it in the log")
    config.write_text("jobs = 2")
    wait_until(lambda: len(spools()) == 2, what=lambda: str(spools()))
    assert alone.pidfile()["pid"] == pid


def test_sighup_with_what_cannot_be_used_does_not_end_the_agent(alone: Site) -> None:
    pid = alone.start()
    config = alone.config / "config.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for text, word in ((f'log_file = "{config}/x/log"', "Not a directory"), (f"metrics_port = {port}", "in use")):
            config.write_text(text)
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: any(word in line["message"] for line in alone.log()), what=word)  # noqa: B023
    assert f"stopped, pid {pid}" in alone.tracehoused("stop").stdout


def test_foreground_ends_by_sigterm_with_0(alone: Site) -> None:
    program = "from tracehoused.cli.main import tracehoused; tracehoused()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "start", "--foreground"],
        env=alone.environ, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stderr is not None
    while b"started" not in (line := process.stderr.readline()):
        assert line, "it ended before it said so"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stderr.close()


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_a_signal_that_comes_before_there_is_anything_to_stop_stops_it(alone: Site, tmp_path: Path, name: str) -> None:
    program = [sys.executable, "-c", "from tracehoused.cli.main import tracehoused; tracehoused()"]
    log = tmp_path / "signals"
    subprocess.run([*counting(log, "rt_sigaction"), *program, "run-once"], env=alone.environ, check=True)
    lines = enumerate(log.read_text().splitlines(), 1)
    listens = next(n for n, line in lines if "rt_sigaction(SIGUSR2, {sa_handler=0x" in line)
    done = subprocess.run(
        [*signalling("rt_sigaction", name, listens), *program, "start", "--foreground"],
        env=alone.environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stopped" in done.stderr


@pytest.mark.parametrize("call", ["flock", "inotify_init1"])
def test_who_asks_after_an_agent_that_has_just_begun_does_not_end_it(alone: Site, call: str) -> None:
    program = [sys.executable, "-c", "from tracehoused.cli.main import tracehoused; tracehoused()"]
    done = subprocess.run(
        [*signalling(call, "USR2", 1), *program, "run-once"],
        env=alone.environ, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stopped" in done.stderr


def test_a_start_that_fails_says_why(alone: Site) -> None:
    (alone.config / "config.toml").write_text("jobs = 0")
    done = alone.tracehoused("start", check=False)
    assert done.returncode != 0
    assert "jobs" in done.stderr


def test_the_log_has_neither_keys_nor_payloads_and_is_private(site: Site, house: House) -> None:
    site.start()
    site.finished_job('run = cm.init(project="p", session_id="t1"); cm.log_user("a-secret-prompt"); cm.finish()')
    wait_until(lambda: all(s["uploaded"] for s in site.sessions()) and site.sessions(), what="its upload")
    site.tracehoused("stop")
    path = site.state / "tracehoused.log"
    text = path.read_text()
    assert house.key not in text
    assert "a-secret-prompt" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = site.tracehoused("logs").stdout
    assert "started" in shown


def test_a_job_can_know_whether_an_agent_is_there(alone: Site) -> None:
    says = 'import logging; logging.basicConfig(level="INFO", stream=sys.stdout); cm.init(session_id="t")'
    assert "no agent" in alone.job(says).communicate(timeout=60)[0].decode()
    alone.start()
    assert "no agent" not in alone.job(says).communicate(timeout=60)[0].decode()
    alone.tracehoused("stop")
    assert "no agent" in alone.job(says).communicate(timeout=60)[0].decode()
