"""E2: what someone removes while a job writes to it, by hand or as old files, costs nothing that is logged from then on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import jobs, lanes

_REMOVED = """
    import glob, shutil
    run = cm.init(session_id="s")
    run.log_user("before"); run.flush()
    for path in map(os.path.realpath, glob.glob(sys.argv[1].format(session=run.spool_path))):
        os.unlink(path) if os.path.isfile(path) else shutil.rmtree(path)
    run.log_user("after")
    print({wait}, end=" ")
    run.log_user("at last")
    print(run.finish())
"""


@pytest.mark.parametrize(
    "what,wait", [("{session}/*.jsonl", "run.flush()"), ("{session}", "True"), ("{session}/..", "run.flush()")]
)
def test_e2_what_is_logged_after_its_segment_was_removed_is_kept(tmp_path: Path, what: str, wait: str) -> None:
    lanes.needs_linux()
    job = jobs.run(_REMOVED.replace("{wait}", wait), tmp_path / "spool", what)
    assert job.out == "True True\n", job.err
    assert "removed while it was written to" in job.err
    session = jobs.only_session(tmp_path / "spool")
    assert jobs.texts(session) == ["after", "at last"]
    assert jobs.of_type(session, "close")


def test_a7_a_living_job_whose_lock_was_removed_has_one_again(tmp_path: Path) -> None:
    script = """
        from tracehouse.spool import liveness
        liveness.HEARTBEAT_SECONDS = 0.05
        run = cm.init(session_id="s")
        run.log_user("x")
        [name] = os.listdir(locks := os.environ["TRACEHOUSE_SPOOL_DIR"] + "/.writers")
        os.unlink(os.path.join(locks, name))
        while not (found := liveness.read_lock(locks, name[:16])): pass
        print(liveness.lives_here(found))
    """
    assert jobs.run(script, tmp_path).out == "True\n"


@pytest.mark.parametrize("left", [None, b""])
def test_s1_who_resumes_a_session_without_its_manifest_has_it_from_the_segments(
    tmp_path: Path, left: bytes | None
) -> None:
    script = "with cm.Run(session_id='s') as run: run.log_user(sys.argv[1])"
    jobs.run(script, tmp_path, "one")
    manifest = jobs.only_session(tmp_path) / "session.json"
    told = manifest.read_bytes()
    manifest.unlink() if left is None else manifest.write_bytes(left)
    jobs.run(script, tmp_path, "two")
    assert manifest.read_bytes() == told
    assert sorted(jobs.texts(jobs.only_session(tmp_path))) == ["one", "two"]


def test_s1_a_manifest_that_another_process_may_be_writing_is_left_to_it(tmp_path: Path) -> None:
    # as it is for a moment where there are no hard links
    jobs.run("with cm.Run(session_id='s') as run: run.log_user('before')", tmp_path)
    session = jobs.only_session(tmp_path)
    for segment in session.glob("*.jsonl"):
        segment.unlink()
    manifest = session / "session.json"
    told = manifest.read_bytes()
    manifest.write_bytes(b"")
    script = """
        run = cm.Run(session_id="s")
        run.log_user("meanwhile")
        waited = not run.flush()
        with open(sys.argv[1], "wb") as manifest: manifest.write(bytes.fromhex(sys.argv[2]))
        print(waited, run.flush())
    """
    assert jobs.run(script, tmp_path, str(manifest), told.hex()).out == "True True\n"
    assert manifest.read_bytes() == told
    assert jobs.texts(session) == ["meanwhile"]


def test_s1_what_is_logged_after_the_spool_was_moved_is_whole_where_it_goes(tmp_path: Path) -> None:
    lanes.needs_linux()
    script = """
        from tracehouse.spool import liveness
        run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
        run.log({"a": 0, "picture": cm.Image(b"GIF89a 0")})
        run.flush()
        os.rename(spool := os.environ["TRACEHOUSE_SPOOL_DIR"], sys.argv[1])
        run.log({"a": 1, "picture": cm.Image(b"GIF89a 1")})
        print(run.flush())
        for place in (spool, sys.argv[1]):
            [name] = os.listdir(locks := os.path.join(place, ".writers"))
            print(liveness.lives_here(liveness.read_lock(locks, name[:16])))
    """
    job = jobs.run(script, tmp_path / "spool", str(tmp_path / "moved"))
    assert (job.out, job.err) == ("True\nTrue\nTrue\n", "")
    there, here = jobs.only_session(tmp_path / "moved"), jobs.only_session(tmp_path / "spool")
    assert [one["values"]["a"] for place in (there, here) for one in jobs.of_type(place, "metrics")] == [0, 1]
    for place in (there, here):
        assert [one["file"] for one in jobs.of_type(place, "media")] == [
            one.name for one in (place / "media").iterdir()
        ]
