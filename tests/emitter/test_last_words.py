"""E4, A7: a session's end is told by the last of its users in a process, and what comes after it is told of as well."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import tracehouse as cm
from tests.support import jobs


def _types(spool: Path) -> list[str]:
    return [one.type for one in jobs.records(jobs.only_session(spool)) if one.type != "segment"]


def _run(spool: Path) -> cm.TrainingRun:
    return cm.TrainingRun(client_run_id="r", spool_dir=spool, capture_env=False, system_metrics=False)


def test_e4_the_first_of_two_that_share_a_trace_does_not_end_it(tmp_path: Path) -> None:
    one, other = (cm.Run(session_id="s", spool_dir=tmp_path) for _ in range(2))
    one.finish()
    other.log_user("on")
    assert "close" not in _types(tmp_path)
    other.finish()
    assert _types(tmp_path)[-2:] == ["span", "close"]


def test_a7_a_part_of_a_run_that_ends_in_its_own_process_does_not_end_the_run(tmp_path: Path) -> None:
    run = _run(tmp_path)
    part = cm.attach_run("r", spool_dir=tmp_path)
    part.log({"a": 1})
    part.finish()
    run.log({"a": 2})
    assert "close" not in _types(tmp_path)
    run.finish()
    assert _types(tmp_path)[-2:] == ["run_patch", "close"]


def test_a7_who_began_a_run_ends_it_also_where_parts_of_it_were_never_ended(tmp_path: Path) -> None:
    run = _run(tmp_path)
    part = cm.attach_run("r", spool_dir=tmp_path)
    run.finish()
    assert _types(tmp_path)[-2:] == ["run_patch", "close"]
    part.finish()


def test_e4_a_child_ends_its_part_whoever_else_had_the_session_open_in_its_parent(tmp_path: Path) -> None:
    script = """
        first, second = cm.Run(session_id="s"), cm.Run(session_id="s")
        first.log_user("parent")
        if not (child := os.fork()):
            second.log_user("child"); second.finish(); os._exit(0)
        os.waitpid(child, 0)
        os.kill(os.getpid(), 9)
    """
    assert jobs.run(script, tmp_path).code == -9
    found = jobs.records(jobs.only_session(tmp_path))
    child = {one.epoch for one in found if one.data.get("attributes") == {"text": "child"}}
    assert [one.epoch for one in found if one.type == "close"] == list(child)


def _is_told(session: str, record: Callable[[], object]) -> bool:
    """Whether the directory's time tells of a record."""
    os.utime(session, (0, 0))
    record()
    return os.stat(session).st_mtime > 0


@pytest.mark.parametrize("parts", [0, 1])
def test_a6_each_record_after_the_end_is_told_of(tmp_path: Path, parts: int) -> None:
    spool = tmp_path / str(parts)  # one of this name may have been there, and gone, in this process
    run = _run(spool)
    held = [cm.attach_run("r", spool_dir=spool) for _ in range(parts)]
    run.log({"a": 1})
    assert not _is_told(run.spool_path, lambda: run.log({"a": 2}))
    run.finish()
    for _ in range(3):
        assert _is_told(run.spool_path, lambda: run.log({"late": 1}))
    assert len(list(Path(run.spool_path).glob("*.jsonl"))) == (1 if parts else 2)
    for part in held:
        part.finish()


def test_a6_who_takes_a_run_up_again_tells_so_and_then_of_no_record(tmp_path: Path) -> None:
    _run(tmp_path).finish()
    session = str(jobs.only_session(tmp_path))
    taken_up: list[cm.TrainingRun] = []
    assert _is_told(session, lambda: taken_up.append(_run(tmp_path)))
    assert not _is_told(session, lambda: taken_up[0].log({"a": 1}))
    taken_up[0].finish()


def test_a6_records_of_a_thread_while_the_process_exits_are_told_of(tmp_path: Path) -> None:
    script = """
        import atexit, threading
        ended, done = threading.Event(), threading.Event()

        def wait() -> None:
            ended.set(); done.wait()
            print(os.stat(run.spool_path).st_mtime > 0)

        def work() -> None:
            ended.wait()
            for step in range(2):
                os.utime(run.spool_path, (0, 0))
                run.log({"late": step})
            done.set()

        atexit.register(wait)
        run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
        run.log({"a": 1})
        threading.Thread(target=work, daemon=True).start()
    """
    job = jobs.run(script, tmp_path)
    assert (job.code, job.out) == (0, "True\n"), job.err
