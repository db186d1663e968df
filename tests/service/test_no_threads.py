"""No thread is to be had for a while, as where a user's processes are many: the agent lives on, and does it all later."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from tests.service.support import Site, is_alive
from tests.support.house import House
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another process's limits can be set on Linux only")

_RUN = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], capture_env=False, system_metrics=False)
    run.log({"loss": 1.0})
    run.finish()
"""
_STACK = 1 << 30


def _with_large_stacks() -> None:
    """For a child before its program begins: each thread of it is to have so much address space."""
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK, resource.getrlimit(resource.RLIMIT_STACK)[1]))


def _limit_threads(pid: int, *, none: bool) -> None:
    """Leave a process room for all but another thread's stack, or any."""
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    most = resource.prlimit(pid, resource.RLIMIT_AS)[1]
    resource.prlimit(pid, resource.RLIMIT_AS, (used + _STACK // 2 if none else most, most))


def test_a6_what_is_recorded_while_no_thread_is_to_be_had_is_uploaded_when_one_is(site: Site, house: House) -> None:
    pid = site.start(preexec_fn=_with_large_stacks)
    _limit_threads(pid, none=True)
    site.finished_job(_RUN, "r1")
    wait_until(lambda: "thread" in str(site.log()), what="its word on that")
    _limit_threads(pid, none=False)
    with house.client() as client:
        wait_until(lambda: not is_alive(pid) or client.get("/v1/runs").json()["runs"], what="the run")
    assert is_alive(pid), site.log()
