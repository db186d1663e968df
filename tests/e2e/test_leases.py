"""A lease ends with its agent: at once when that dies, after a minute when that was stopped; and who was stopped does no harm later."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Proxy, proxied, status
from tests.support.servers import Received
from tests.support.strace import failing
from tests.support.waiting import wait_until
from tracehouse.spool import layout, liveness
from tracehoused.exceptions import LeaseHeld
from tracehoused.upload.checkpoint import Checkpoint
from tracehoused.upload.lease import Heartbeat, Lease

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="[linux] needs /proc")
_SMALL = {"TRACEHOUSE_BATCH_POINTS": "2"}
_EARLIER = {"seq": 2, "done": False, "status": None, "explicit": False}
_HOLDING = """
import os, sys
from tracehoused.upload.lease import Lease
lease = Lease(sys.argv[1])
print(lease.still_ours(), flush=True)
sys.stdin.readline()
print(lease.still_ours(), flush=True)
os._exit(0)
"""
# root is not held to RLIMIT_NPROC: no address space for a thread's stack does as well
_NO_THREADS = """
import os, resource, sys, threading, time
from tracehouse.exceptions import SpoolError
from tracehoused.upload.lease import Heartbeat, Lease
heartbeat = Heartbeat(every=0.01)
limits = resource.getrlimit(resource.RLIMIT_AS)
threading.stack_size(1 << 30)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), limits[1]))
before = len(os.listdir("/proc/self/fd"))
try:
    Lease(sys.argv[1], heartbeat)
except SpoolError:
    assert not os.path.exists(sys.argv[1] + "/upload/lease")
    assert len(os.listdir("/proc/self/fd")) == before
    print("refused")
resource.setrlimit(resource.RLIMIT_AS, limits)
threading.stack_size(1 << 20)
lease = Lease(sys.argv[1], heartbeat)
file = sys.argv[1] + "/upload/lease"
os.utime(file, (0, 0))
until = time.monotonic() + 30
while os.stat(file).st_mtime == 0 and time.monotonic() < until:
    time.sleep(0.01)
print("beats" if os.stat(file).st_mtime else "silent")
lease.close()
"""
_PASS_WITHOUT_THREADS = """
import os, resource, sys, threading
from tracehoused.config import resolve
from tracehoused.upload.engine import Engine
engine = Engine(resolve({}, environ=os.environ), os.environ)
limits = resource.getrlimit(resource.RLIMIT_AS)
threading.stack_size(1 << 30)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), limits[1]))
report = engine.drain(sys.argv[1])
assert not os.path.exists(sys.argv[1] + "/upload/lease")
assert not report.outcome.complete and not report.outcome.stopped and report.manifest is not None
print("thread" in report.outcome.trouble)
resource.setrlimit(resource.RLIMIT_AS, limits)
threading.stack_size(1 << 20)
print(engine.drain(sys.argv[1]).outcome.complete)
"""
_POINTS = {("loss", step): 1 for step in range(60)}


@contextmanager
def _in_the_middle(
    home: Home, house: House, name: str
) -> Iterator[tuple[subprocess.Popen[str], Proxy, threading.Event]]:
    home.job(
        f"run = cm.TrainingRun(client_run_id={name!r}, system_metrics=False, capture_env=False)\n"
        "for step in range(60): run.log({'loss': step})\n"
        "run.finish()"
    )
    applied, go_on = threading.Event(), threading.Event()

    def hold(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        answer = proxy.forward(request)
        applied.set()
        go_on.wait(60)
        connection.sendall(answer)
        return True

    with proxied(
        house.url, lambda request: hold if b'"step":20,' in request.body and not applied.is_set() else None
    ) as proxy:
        first = home.start("sync", str(home.spool), "--api-base", proxy.url, **_SMALL)
        try:
            assert applied.wait(60)
            yield first, proxy, go_on
        finally:
            go_on.set()
            first.send_signal(signal.SIGCONT)
            if first.poll() is None:
                first.communicate(timeout=60)


def _age(lease: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(lease, (then, then))


@needs_proc
def test_a8_the_lease_of_a_stopped_agent_expires_and_it_repeats_nothing_when_it_goes_on(
    home: Home, house: House
) -> None:
    with _in_the_middle(home, house, "stopped-holder") as (first, proxy, _):
        lease = home.session() / layout.UPLOAD / "lease"
        first.send_signal(signal.SIGSTOP)
        with pytest.raises(LeaseHeld, match="another agent") as held:
            Lease(str(home.session()))
        assert f"pid {first.pid}" in held.value.holder
        _age(lease, 120)
        done = home.sync("--api-base", proxy.url, **_SMALL)
        assert done.code == 0, done.err
    with Held(house) as there:
        assert there.points("stopped-holder") == _POINTS
    assert home.sync("--api-base", house.url, **_SMALL).code == 0


def test_a8_an_agent_that_was_stopped_and_lost_its_lease_repeats_nothing_when_it_goes_on(
    home: Home, house: House
) -> None:
    with _in_the_middle(home, house, "stopped-pass") as (first, proxy, go_on):
        first.send_signal(signal.SIGSTOP)
        os.unlink(home.session() / layout.UPLOAD / "lease")
        done = home.sync("--api-base", proxy.url, **_SMALL)
        assert done.code == 0, done.err
        before = len(proxy.received)
        go_on.set()
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
        late = [one.target for one in proxy.received[before:] if one.method in ("POST", "PATCH")]
        assert not late, "what is no longer its own is not sent again, also where the house would know it"
        with Held(house) as there:
            assert there.points("stopped-pass") == _POINTS
        assert home.sync("--api-base", proxy.url, **_SMALL).code == 0


def test_a8_what_a_stopped_agent_notes_late_of_a_writer_does_not_undo_what_another_learnt(
    home: Home, house: House
) -> None:
    home.job("run = cm.TrainingRun(client_run_id='late-notes')\nrun.log({'loss': 1.0}, step=1)")
    with proxied(house.url, lambda request: status(503) if b'"status":"finished"' in request.body else None) as proxy:
        assert home.sync("--api-base", proxy.url).code == 1
        [journal] = home.session().glob(f"{layout.UPLOAD}/*/journal.jsonl")
        late = Checkpoint(str(journal.parent), str(home.directory / "no-copy.json"))
        ends = {epoch: {**end, **_EARLIER} for epoch, end in late.state.facts["ends"].items()}
        late.note({"op": "fact", "name": "ends", "value": ends})
        late.commit()
        proxy.rule = lambda request: None
        done = home.sync("--api-base", proxy.url)
    assert done.code == 0, done.err
    with Held(house) as there:
        assert there.run("late-notes")["status"] == "finished"


@needs_proc
def test_a8_an_agent_that_only_waits_for_its_server_keeps_its_lease(home: Home, house: House) -> None:
    with _in_the_middle(home, house, "waiting-holder") as (first, _, go_on):
        lease = home.session() / layout.UPLOAD / "lease"
        _age(lease, 120)
        with pytest.raises(LeaseHeld):
            Lease(str(home.session()))
        go_on.set()
        first.communicate(timeout=60)
        assert first.returncode == 0
    with Held(house) as there:
        assert there.points("waiting-holder") == _POINTS


def test_a8_a_lease_has_a_heartbeat_while_it_is_held_and_no_request_is_made(tmp_path: Path) -> None:
    lease = Lease(str(tmp_path), Heartbeat(every=0.01))
    try:
        file = tmp_path / layout.UPLOAD / "lease"
        _age(file, 120)
        wait_until(lambda: time.time() - file.stat().st_mtime < 60, what="its heartbeat")
        assert lease.still_ours()
    finally:
        lease.close()
    assert not file.exists()


def test_a7_a_lease_whose_lock_another_machine_holds_expires_though_its_pid_namespace_has_the_number_of_ours(
    tmp_path: Path,
) -> None:
    (tmp_path / layout.UPLOAD).mkdir()
    file = tmp_path / layout.UPLOAD / "lease"
    with file.open("w") as held:  # its lock is as one seen through a network file system
        fcntl.flock(held, fcntl.LOCK_EX)
        fields = {
            "token": "t",
            "pid": os.getpid(),
            "pid_ns": liveness.pid_namespace(),
            "host": "b",
            "boot_id": "another",
        }
        json.dump({**fields, "inode": os.fstat(held.fileno()).st_ino}, held)
        held.flush()
        with pytest.raises(LeaseHeld):
            Lease(str(tmp_path))
        _age(file, 120)
        Lease(str(tmp_path)).close()


def test_a8_where_no_file_can_be_locked_a_lease_ends_with_its_process_and_not_before(tmp_path: Path) -> None:
    command = [*failing("flock", "ENOSYS", "1+"), sys.executable, "-c", _HOLDING, str(tmp_path)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "True\n"
    second = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
    assert "LeaseHeld" in second.stderr
    assert first.communicate("\n", timeout=60)[0] == "True\n"
    assert (tmp_path / layout.UPLOAD / "lease").exists(), "it ended as a kill ends it"
    third = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
    assert third.stdout == "True\nTrue\n", third.stderr


@needs_proc
def test_a7_a_process_that_may_begin_no_thread_holds_no_lease_and_has_heartbeats_once_it_may(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_THREADS, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["refused", "beats"], done.stderr


@needs_proc
def test_a8_a_pass_for_which_there_is_no_thread_is_told_as_its_sessions_trouble_and_tried_again(home: Home) -> None:
    home.job("run = cm.TrainingRun(client_run_id='no-thread', capture_env=False); run.log({'loss': 1}); run.finish()")
    done = subprocess.run(
        [sys.executable, "-c", _PASS_WITHOUT_THREADS, str(home.session())],
        env=home.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
