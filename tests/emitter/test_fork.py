"""E4: a forked child, however it was made and however it ends, is a writer of its own and finishes nothing of its parent's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import jobs

BEGIN = "run = cm.init_run(client_run_id='r', capture_env=False, system_metrics=False)\nrun.log({'parent': 1})\n"


def _by_epoch(session: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in jobs.records(session):
        found.setdefault(one.epoch, []).append(one.type)
    return found


@pytest.mark.parametrize("ending", ["pass", "sys.exit(3)", "os._exit(0)", "raise ValueError"])
def test_e4_a_childs_end_never_finishes_its_parents_run(tmp_path: Path, ending: str) -> None:
    job = jobs.run(
        BEGIN
        + f"""
if os.fork() == 0:
    run.log({{'child': 1}})
    {ending}
    sys.exit()
os.wait()
run.log({{'parent': 2}})
""",
        tmp_path,
    )
    assert job.code == 0, job.err
    session = jobs.only_session(tmp_path)
    assert jobs.gaps(session) == {}
    assert len(_by_epoch(session)) == 2
    assert [one["status"] for one in jobs.of_type(session, "exit") if one["status"]] == ["finished"]
    assert sorted(next(iter(one["values"])) for one in jobs.of_type(session, "metrics")) == [
        "child",
        "parent",
        "parent",
    ]


def test_e4_a_child_that_logs_nothing_leaves_nothing(tmp_path: Path) -> None:
    jobs.run(BEGIN + "if os.fork() == 0:\n    sys.exit()\nos.wait()", tmp_path)
    session = jobs.only_session(tmp_path)
    assert len(_by_epoch(session)) == 1
    assert len(jobs.of_type(session, "exit")) == 1


def test_e4_a_childs_explicit_finish_ends_its_own_part_only(tmp_path: Path) -> None:
    jobs.run(
        BEGIN + "if os.fork() == 0:\n    run.log({'child': 1})\n    run.finish()\n    os._exit(0)\nos.wait()", tmp_path
    )
    session = jobs.only_session(tmp_path)
    assert not jobs.of_type(session, "run_patch")
    assert len(jobs.of_type(session, "close")) == 1
    assert [one["status"] for one in jobs.of_type(session, "exit")] == ["finished"]


def test_e4_the_parent_keeps_its_lock_when_the_child_ends(tmp_path: Path) -> None:
    job = jobs.run(
        BEGIN
        + """
if os.fork() == 0:
    run.log({'child': 1})
    sys.exit()
os.wait()
from tracehouse.spool import liveness
writers = os.path.join(os.environ['TRACEHOUSE_SPOOL_DIR'], '.writers')
locks = [liveness.read_lock(writers, name[:-5]) for name in os.listdir(writers)]
print([(lock['pid'] == os.getpid(), lock['held']) for lock in locks])
""",
        tmp_path,
    )
    assert job.out == "[(True, True)]\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_e4_workers_of_multiprocessing_attach_and_tell_their_end(tmp_path: Path, method: str) -> None:
    (tmp_path / "code").mkdir()
    job = jobs.run_file(
        f"""
import multiprocessing

def work(n):
    run = cm.attach_run()
    for _ in range(2):
        with run.rollout(step=7) as t:
            t.log_user(f"worker {{n}}")

if __name__ == "__main__":
    run = cm.init_run(client_run_id='r', capture_env=False, system_metrics=False)
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=work, args=(n,)) for n in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    with run.rollout(step=7) as t:
        t.log_user("parent")
""",
        tmp_path / "spool",
        tmp_path / "code",
    )
    assert job.code == 0, job.err
    session = jobs.only_session(tmp_path / "spool")
    ids = [trace["session_id"] for trace in jobs.of_type(session, "trace")]
    assert len(set(ids)) == len(ids) == 7
    assert "r-step7" in ids
    ends = jobs.of_type(session, "exit")
    assert sorted(str(one["status"]) for one in ends) == ["None", "None", "None", "finished"]
    assert list((tmp_path / "spool" / ".writers").iterdir()) == []


def test_e4_a_fork_while_other_threads_log_neither_hangs_nor_damages(tmp_path: Path) -> None:
    job = jobs.run(
        BEGIN
        + """
import threading
stop = threading.Event()
def log():
    while not stop.is_set():
        run.log({'thread': 1})
threads = [threading.Thread(target=log) for _ in range(4)]
for thread in threads: thread.start()
for n in range(20):
    if os.fork() == 0:
        run.log({'child': n})
        os._exit(0 if run.flush() else 1)
    assert os.wait()[1] == 0
stop.set()
for thread in threads: thread.join()
""",
        tmp_path,
    )
    assert job.code == 0, job.err
    session = jobs.only_session(tmp_path)
    assert jobs.gaps(session) == {}
    values = [one["values"] for one in jobs.of_type(session, "metrics")]
    assert sorted(one["child"] for one in values if "child" in one) == list(range(20))


def test_e4_a_finished_trace_can_be_logged_to_by_a_child(tmp_path: Path) -> None:
    jobs.run(
        """
run = cm.init(session_id='s')
run.log_user('before')
run.finish()
if os.fork() == 0:
    run.log_user('child')
    os._exit(0)
os.wait()
run.log_user('after')
""",
        tmp_path,
    )
    session = jobs.only_session(tmp_path)
    assert sorted(jobs.texts(session)) == ["after", "before", "child"]
    assert jobs.gaps(session) == {}


def test_e4_ids_differ_between_parent_and_child(tmp_path: Path) -> None:
    jobs.run(
        "cm.init(session_id='s')\ncm.log_user('x')\npid = os.fork()\n"
        "for _ in range(300): cm.log_user('x')\nif pid: os.wait()",
        tmp_path,
    )
    ids = [span["id"] for span in jobs.of_type(jobs.only_session(tmp_path), "span")]
    assert len(ids) == len(set(ids)) == 601
