"""What `tracehouse rm` deletes is what was meant and shown, and nothing else: of all commands it may lose records."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.support import Site, heard, send
from tests.support.segments import AT, header, line, manifest, session

_RUN = """
    run = cm.init_run(project="p", client_run_id="r1", capture_env=False, system_metrics=False)
    run.log({"loss": 1.0})
    print(run.flush(), flush=True)
    sys.stdin.readline()
    run.finish()
"""


def _recorded(site: Site, name: str) -> Path:
    of = manifest("run", name)
    return session(site.spool, of, [line(1, "segment", header(of)), line(2, "close", {"at": AT})])


def test_rm_takes_an_id_for_that_id_before_it_takes_it_for_a_pattern(alone: Site) -> None:
    meant, matched = _recorded(alone, "run[1]"), _recorded(alone, "run1")
    alone.tracehouse("rm", "run[1]", "--yes")
    assert (meant.exists(), matched.exists()) == (False, True)
    alone.tracehouse("rm", "run[1]", "--yes")  # nothing has that id any more
    assert not matched.exists()


def test_rm_of_a_spools_path_deletes_none_of_its_sessions(alone: Site) -> None:
    sessions = [_recorded(alone, "a"), _recorded(alone, "b")]
    done = alone.tracehouse("rm", str(alone.spool), "--yes", check=False)
    assert done.returncode == 1
    assert all(path.exists() for path in sessions)
    alone.tracehouse("rm", f"{sessions[0]}/", "--yes")
    assert [path.exists() for path in sessions] == [False, True]


@pytest.mark.parametrize("ends", [False, True])
def test_rm_deletes_nothing_that_was_recorded_while_it_asked(alone: Site, *, ends: bool) -> None:
    alone.finished_job(_RUN)
    code = "from tracehoused.cli.main import tracehouse; tracehouse()"
    asking = subprocess.Popen(
        [sys.executable, "-c", code, "rm", "r1"],
        env=alone.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    alone.jobs.append(asking)
    assert asking.stdout is not None
    assert b"NEVER uploaded" in asking.stdout.readline()
    job = alone.job(_RUN)
    assert heard(job) == "True"
    if ends:
        assert job.communicate()[0] == b""
    send(asking, "y")
    _, said = asking.communicate(timeout=60)
    assert asking.returncode == 1, said
    [left] = alone.spool.glob("run-*")
    assert len(list(left.glob("*.jsonl"))) == 2
