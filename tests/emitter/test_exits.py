"""E7: how a process ends is how its run ends."""

from __future__ import annotations

import signal
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import jobs
from tests.support.waiting import wait_until

BEGIN = "run = cm.init_run(client_run_id='r', capture_env=False, system_metrics=False)\nrun.log({'a': 1})\n"


def _exit(spool: Path) -> dict[str, object]:
    [ended] = jobs.of_type(jobs.only_session(spool), "exit")
    return ended


@pytest.mark.parametrize(
    "ending,status,code",
    [
        ("pass", "finished", 0),
        ("sys.exit()", "finished", 0),
        ("sys.exit(0)", "finished", 0),
        ("exit()", "finished", 0),
        ("sys.exit(3)", "failed", 3),
        ("quit(3)", "failed", 3),
        ("sys.exit('no data')", "failed", 1),
        ("import argparse; argparse.ArgumentParser().error('x')", "failed", 2),
        ("raise SystemExit(3)", "failed", None),
        ("raise ValueError('lost')", "crashed", 1),
        ("raise KeyboardInterrupt", "crashed", 1),
        ("1/0", "crashed", 1),
        ("try:\n    sys.exit(3)\nexcept SystemExit:\n    pass", "finished", 0),
        ("try:\n    sys.exit(0)\nexcept SystemExit:\n    pass\nraise ValueError", "crashed", 1),
        ("import threading\nt = threading.Thread(target=sys.exit, args=(3,))\nt.start(); t.join()", "finished", 0),
        ("sys.excepthook(ValueError, ValueError('handled'), None)", "finished", 0),
        ("sys.excepthook = lambda *_: None\n1/0", "crashed", 1),
    ],
)
def test_e7_the_end_of_the_process_is_the_status_of_the_run(
    tmp_path: Path, ending: str, status: str, code: int | None
) -> None:
    jobs.run(BEGIN + ending, tmp_path)
    ended = _exit(tmp_path)
    assert (ended["status"], ended["code"]) == (status, code)


def test_e7_the_same_holds_for_a_file_and_for_a_module(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    for n, ending in enumerate(("sys.exit(3)", "raise ValueError", "pass")):
        jobs.run_file(BEGIN.replace("'r'", f"'r{n}'") + ending, tmp_path / "spool", tmp_path / "code")
        jobs.run(
            "import runpy\nrunpy.run_module('job', run_name='__main__', alter_sys=True)",
            tmp_path / "module",
            PYTHONPATH=f"{jobs.ROOT}:{tmp_path / 'code'}",
        )
    for spool in ("spool", "module"):
        ends = [jobs.of_type(session, "exit")[0]["status"] for session in jobs.sessions(tmp_path / spool)]
        assert sorted(ends) == ["crashed", "failed", "finished"]


def test_e7_the_exception_is_named(tmp_path: Path) -> None:
    job = jobs.run(BEGIN + "raise ValueError('lost')", tmp_path)
    assert job.code == 1
    assert "ValueError: lost" in job.err
    assert _exit(tmp_path)["exception"] == "ValueError: lost"


@pytest.mark.parametrize(
    "ending,status",
    [
        ("raise KeyError('x' * 20_000_000)", "crashed"),
        ("class Why:\n    def __str__(self): raise RuntimeError\nsys.exit(Why())", "failed"),
    ],
)
def test_e7_the_end_is_told_whatever_the_exception_says(tmp_path: Path, ending: str, status: str) -> None:
    jobs.run(BEGIN + ending, tmp_path)
    assert _exit(tmp_path)["status"] == status
    assert list((tmp_path / ".writers").iterdir()) == []


def test_e3_a_with_block_raises_what_was_raised_in_it_however_long_that_is(tmp_path: Path) -> None:
    body = "\n    ".join(("with cm.Run() as run, run.span('tool_use'):", "    raise KeyError('x' * 20_000_000)"))
    job = jobs.run(f"try:\n    {body}\nexcept Exception as error:\n    print(type(error))", tmp_path)
    assert job.out == "<class 'KeyError'>\n", job.err[-1000:]
    [patch] = jobs.of_type(jobs.only_session(tmp_path), "trace_patch")
    assert (patch["outcome"], patch["metadata"]["error"][:12]) == ("bad", "KeyError: 'x")


def test_e7_the_end_is_told_though_threads_begin_sessions_meanwhile(tmp_path: Path) -> None:
    # at the call of something that the exit does for each session, as a switch of threads there has it
    script = """
        def switch(frame, event, _):
            if event == "call" and frame.f_code.co_name == "has_written":
                sys.setprofile(None)
                held.extend(cm.Run() for _ in range(50))

        held = [cm.Run() for _ in range(3)]
        sys.setprofile(switch)
    """
    job = jobs.run(BEGIN + textwrap.dedent(script), tmp_path)
    assert job.err == ""
    [run] = [session for session in jobs.sessions(tmp_path) if session.name.startswith("run-")]
    assert [ended["status"] for ended in jobs.of_type(run, "exit")] == ["finished"]
    assert list((tmp_path / ".writers").iterdir()) == []


@pytest.mark.parametrize(
    "more,environ,status",
    [
        ("auto_finish=False", {}, None),
        ("", {"TRACEHOUSE_DISABLE_AUTOFINISH": "1"}, None),
        ("", {"TRACEHOUSE_DISABLE_AUTOFINISH": "0"}, "finished"),
        ("", {"TRACEHOUSE_DISABLE_AUTOFINISH": "false"}, "finished"),
        ("", {"TRACEHOUSE_DISABLE_AUTOFINISH": ""}, "finished"),
    ],
)
def test_e7_auto_finish_can_be_switched_off(
    tmp_path: Path, more: str, environ: dict[str, str], status: str | None
) -> None:
    jobs.run(BEGIN.replace("system_metrics=False", "system_metrics=False," + more), tmp_path, **environ)
    assert _exit(tmp_path)["status"] == status


@pytest.mark.parametrize(
    "body,status",
    [
        ("pass", "finished"),
        ("sys.exit(0)", "finished"),
        ("sys.exit(3)", "failed"),
        ("raise ValueError", "crashed"),
        ("raise KeyboardInterrupt", "crashed"),
    ],
)
def test_e7_a_with_block_ends_its_run(tmp_path: Path, body: str, status: str) -> None:
    jobs.run(f"with cm.TrainingRun(capture_env=False, system_metrics=False) as run:\n    {body}\n", tmp_path)
    session = jobs.only_session(tmp_path)
    assert [patch["status"] for patch in jobs.of_type(session, "run_patch")] == [status]
    assert not jobs.of_type(session, "exit")


def test_e7_an_explicit_finish_is_not_taken_back_by_the_exit(tmp_path: Path) -> None:
    jobs.run(BEGIN + "run.finish(status='killed')\nraise ValueError", tmp_path)
    session = jobs.only_session(tmp_path)
    assert [patch["status"] for patch in jobs.of_type(session, "run_patch")] == ["killed"]
    assert not jobs.of_type(session, "exit")


def test_e7_a_trace_left_open_tells_the_end_of_its_writer_but_no_status(tmp_path: Path) -> None:
    jobs.run("cm.init(session_id='s')\ncm.log_user('x')\nraise ValueError('lost')", tmp_path)
    ended = _exit(tmp_path)
    assert (ended["status"], ended["exception"]) == (None, "ValueError: lost")


def test_e7_a_run_that_nothing_refers_to_is_finished_all_the_same(tmp_path: Path) -> None:
    jobs.run("def job():\n    cm.TrainingRun(capture_env=False, system_metrics=False).log({'a': 1})\njob()", tmp_path)
    assert _exit(tmp_path)["status"] == "finished"


def test_e7_after_a_clean_exit_no_lock_is_left(tmp_path: Path) -> None:
    jobs.run(BEGIN, tmp_path)
    assert list((tmp_path / ".writers").iterdir()) == []


def test_e7_a_signal_kills_as_it_would_without_us(tmp_path: Path) -> None:
    job = jobs.start(BEGIN + "print('ready', flush=True)\nsys.stdin.read()\nimport time\ntime.sleep(60)", tmp_path)
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=60) == -signal.SIGTERM
    job.communicate()
    session = jobs.only_session(tmp_path)
    assert not jobs.of_type(session, "exit")
    assert len(jobs.of_type(session, "metrics")) == 1
    wait_until(lambda: len(list((tmp_path / ".writers").iterdir())) == 1)


def test_e7_an_interrupt_ends_the_process_by_its_signal_whatever_is_told_and_loaded_then(tmp_path: Path) -> None:
    job = jobs.run(
        BEGIN + "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "run.log({'b': 1.0})\nprint('logging' in sys.modules)\nraise KeyboardInterrupt",
        tmp_path,
    )
    assert "could not be written to the spool" in job.err
    assert (job.code, job.out) == (-signal.SIGINT, "False\n")


def test_e7_os__exit_loses_nothing_that_was_logged(tmp_path: Path) -> None:
    jobs.run(BEGIN + "os._exit(0)", tmp_path)
    session = jobs.only_session(tmp_path)
    assert len(jobs.of_type(session, "metrics")) == 1
    assert not jobs.of_type(session, "exit")


def test_e7_of_several_ranks_only_the_first_and_rank_0_tell_success(tmp_path: Path) -> None:
    script = BEGIN + "print('ready', flush=True)\nsys.stdin.readline()\nsys.exit(int(sys.argv[1]))"
    import subprocess

    def rank(n: int, code: int) -> subprocess.Popen[str]:
        job = subprocess.Popen(
            [sys.executable, "-c", "import os, sys\nimport tracehouse as cm\n" + script, str(code)],
            env=jobs.environ(tmp_path, RANK=str(n)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        return job

    ranks = [rank(2, 0), rank(0, 0), rank(1, 0), rank(3, 5)]
    for job in ranks:
        job.communicate("\n", timeout=60)
    ends = jobs.of_type(jobs.only_session(tmp_path), "exit")
    assert sorted(str(ended["status"]) for ended in ends) == ["None", "failed", "finished", "finished"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_e7_the_end_of_a_worker_of_multiprocessing_is_the_status_of_its_run(tmp_path: Path, method: str) -> None:
    (tmp_path / "code").mkdir()
    job = jobs.run_file(
        f"""
import multiprocessing, threading

ENDINGS = {{
    "well": "pass", "raised": "raise ValueError('lost')", "exited": "sys.exit(3)", "left": "raise SystemExit(4)",
    "done": "sys.exit()", "thread": "pass",
}}

def work(name):
    run = cm.init_run(client_run_id=name, capture_env=False, system_metrics=False)
    exec(ENDINGS[name])

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    trace = cm.init(session_id="parent")
    trace.log_user("begun")
    workers = [context.Process(target=work, args=(name,)) for name in ENDINGS]
    starter = threading.Thread(target=workers[-1].start)
    starter.start(); starter.join()
    try:
        1 / 0
    except ZeroDivisionError:
        for worker in workers[:-1]: worker.start()
    for worker in workers: worker.join()
    print([worker.exitcode for worker in workers])
""",
        tmp_path / "spool",
        tmp_path / "code",
    )
    assert (job.code, job.out) == (0, "[0, 1, 3, 4, 0, 0]\n"), job.err
    is_late = sys.version_info >= (3, 13)
    ends = {one.name.split("-")[1]: jobs.of_type(one, "exit")[0] for one in jobs.sessions(tmp_path / "spool")}
    assert {name: (end["status"], end["exception"], end["code"]) for name, end in ends.items() if name != "parent"} == {
        "well": ("finished", None, 0),
        # of a target that was called before, and has ended, Python tells no more
        "raised": ("failed", "SystemExit: 1", 1)
        if (method, is_late) == ("spawn", True)
        else ("crashed", "ValueError: lost", 1),
        "exited": ("failed", "SystemExit: 3", 3),
        "left": ("failed", "SystemExit: 4", 4),
        "done": ("finished", None, 0),
        "thread": ("finished", None, 0),
    }
