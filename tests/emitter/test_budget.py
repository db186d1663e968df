"""The spool's budget in a job: over it, records are written all the same, with a warning; or they are refused as by a full disk."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import jobs, lanes
from tracehouse.exceptions import ArgumentError
from tracehouse.spool import budget, layout, sizes

_FILL = """
import logging, sys, time
import tracehouse as cm
logging.basicConfig(stream=sys.stderr, format="%(message)s")
run = cm.init(session_id=sys.argv[1] if len(sys.argv) > 1 else "s")
for n in range(5):
    run.log_user("early")
print("ready", flush=True)
sys.stdin.readline()
for n in range(300):
    run.log_user("x" * 100_000)
print(run.flush(), flush=True)
sys.stdin.readline()
while not run.flush():
    time.sleep(0.05)
run.log_user("last")
print(run.flush(), flush=True)
cm.finish(outcome="good")
"""

_PICTURES = """
import tracehouse as cm
run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
run.log({"a": 0})
while run._session.log.files.fd >= 0:
    run.flush()
run.log_image("i", b"GIF89a")
for _ in range(20):
    run.flush()
run.log({"a": 1})
run.finish()
"""


def _job(spool: Path, script: str = _FILL, **variables: str) -> subprocess.Popen[str]:
    environ = {**jobs.environ(spool), **variables}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", script], env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def _go_on(job: subprocess.Popen[str]) -> str:
    """Its next word, after the line it waits for."""
    assert job.stdin is not None
    assert job.stdout is not None
    job.stdin.write("\n")
    job.stdin.flush()
    return job.stdout.readline().strip()


def _ballast(spool: Path) -> Path:
    """An old session's megabyte, which puts a spool over its budget, and a mark that it was found so."""
    (spool / layout.session_dir("run", "old", "http://x", None)).mkdir(parents=True)
    (spool / layout.FULL).touch()
    path = next(spool.glob("run-old-*")) / "old.jsonl"
    path.write_bytes(b"x" * 1_000_000)
    return path


def _kinds(session: Path) -> list[str]:
    return [record.type for record in jobs.records(session)]


def test_over_its_budget_a_spool_is_written_to_all_the_same_with_a_warning(tmp_path: Path) -> None:
    _ballast(tmp_path)
    job = _job(tmp_path, TRACEHOUSE_SPOOL_MAX_BYTES="500k")
    assert job.stdout is not None
    assert job.stdout.readline().strip() == "ready"
    assert job.stderr is not None
    assert "over its budget of 500,000" in job.stderr.readline()
    assert _go_on(job) == "True"
    assert _go_on(job) == "True"
    job.communicate(timeout=60)
    (session,) = tmp_path.glob("trace-*")
    assert len(jobs.texts(session)) == 306


def test_with_drop_an_overfull_spool_is_as_a_full_disk_and_what_was_lost_is_counted(tmp_path: Path) -> None:
    ballast = _ballast(tmp_path)
    job = _job(tmp_path, TRACEHOUSE_SPOOL_MAX_BYTES="500k", TRACEHOUSE_SPOOL_FULL="drop")
    assert job.stdout is not None
    assert job.stdout.readline().strip() == "ready"
    assert _go_on(job) == "False"
    assert budget.measure(tmp_path.as_posix())[0] < 1_000_000 + 5_000
    ballast.unlink()
    assert _go_on(job) == "True"
    (session,) = tmp_path.glob("trace-*")
    assert "dropped" in _kinds(session)
    _, err = job.communicate(timeout=60)
    assert "over its budget" in err
    texts = jobs.texts(session)
    assert texts[:5] == ["early"] * 5
    assert texts[-1] == "last"
    (dropped,) = [record.data for record in jobs.records(session) if record.type == "dropped"]
    assert dropped["reasons"] == {"EDQUOT": dropped["records"]}
    assert len(texts) + dropped["records"] == 306
    assert {"trace", "close"} <= set(_kinds(session))


def test_s3_the_tries_to_tell_of_a_loss_leave_no_gaps(tmp_path: Path) -> None:
    job = _job(tmp_path, _PICTURES, TRACEHOUSE_SPOOL_MAX_FILES="1", TRACEHOUSE_SPOOL_FULL="drop")
    job.communicate(timeout=60)
    (session,) = tmp_path.glob("run-r-*")
    seqs = [record.seq for record in jobs.records(session)]
    assert "dropped" in _kinds(session)
    assert sorted(seqs) == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize(
    "name, value",
    [
        ("TRACEHOUSE_SPOOL_FULL", "explode"),
        ("TRACEHOUSE_SPOOL_MAX_BYTES", "much"),
        ("TRACEHOUSE_SPOOL_MAX_FILES", "-1"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_at_once(name: str, value: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        budget.of("/nowhere", {name: value})


def test_inodes_count_as_bytes_do_and_an_agent_that_watches_has_time_to_make_room(tmp_path: Path) -> None:
    import fcntl

    for number in range(9):
        (tmp_path / str(number)).touch()
    kept = budget.of(str(tmp_path), {"TRACEHOUSE_SPOOL_MAX_FILES": "5", "TRACEHOUSE_SPOOL_FULL": "drop"})
    assert kept is not None
    now = time.monotonic()
    with open(tmp_path / layout.AGENT_LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not kept.look(now)
        assert (tmp_path / layout.FULL).exists()
        assert kept.look(now + 1e6)
    with pytest.raises(OSError, match="files and directories are over"):
        kept.check()
    for number in range(9):
        (tmp_path / str(number)).unlink()
    assert kept.look(now + 2e6)
    kept.check()
    assert not (tmp_path / layout.FULL).exists()


def test_with_drop_a_segment_opened_just_before_there_was_no_room_is_closed_as_well(tmp_path: Path) -> None:
    lanes.needs_linux()
    script = """
        import time
        from tracehouse.spool import budget, writer

        run = cm.init(session_id="s")
        run.log_user("before")
        root = os.environ["TRACEHOUSE_SPOOL_DIR"]
        open(root + "/.full", "w").close()
        kept = writer.writer_of(root, str).budget = budget.of(root, {budget.BYTES: "1", budget.FULL: "drop"})
        assert kept.is_full
        run.log_user("into the segment that is open")
        deadline = time.monotonic() + 20
        while any(os.readlink(fd.path).endswith(".jsonl") for fd in os.scandir("/proc/self/fd") if fd.is_symlink()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        print("closed")
    """
    done = jobs.run(script, tmp_path)
    assert done.out == "closed\n", done.err


@pytest.mark.parametrize(
    "told, found", [("1", 1), ("1.5G", 1_500_000_000), ("2 KiB", 2048), (7, 7), ("3mb", 3_000_000)]
)
def test_sizes_are_read_as_people_write_them(told: object, found: int) -> None:
    assert sizes.parse(told) == found


@pytest.mark.parametrize(
    "told", ["", "0", "-1", "1e3", "x", "1x", "1.", ".5k", True, None, "١", pytest.param("9" * 400, id="endless")]
)
def test_a_size_that_is_none_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match="should be bytes"):
        sizes.parse(told)
