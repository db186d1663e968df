"""E4: many threads and many processes in one session."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import tracehouse as cm
from tests.support import jobs
from tracehouse.rollouts import RolloutIds


def _together(count: int, work: object) -> None:
    barrier = threading.Barrier(count)

    def body(n: int) -> None:
        barrier.wait()
        work(n)  # type: ignore[operator]

    threads = [threading.Thread(target=body, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_e4_8_threads_of_1000_records_leave_8000(tmp_path: Path) -> None:
    run = cm.Run(session_id="s", spool_dir=tmp_path)
    _together(8, lambda n: [run.log_user(f"{n}:{i}") for i in range(1000)])
    run.finish()
    session = jobs.only_session(tmp_path)
    said = jobs.texts(session)
    assert len(said) == len(set(said)) == 8000
    for n in range(8):
        own = [int(text.split(":")[1]) for text in said if text.startswith(f"{n}:")]
        assert own == sorted(own)
    assert jobs.gaps(session) == {}


def test_e4_automatic_steps_of_threads_are_each_taken_once(tmp_path: Path) -> None:
    run = cm.TrainingRun(spool_dir=tmp_path, capture_env=False, system_metrics=False)

    def work(_: int) -> None:
        for _ in range(250):
            run.log({"a": 1})

    _together(8, work)
    run.finish()
    steps = [one["step"] for one in jobs.of_type(jobs.only_session(tmp_path), "metrics")]
    assert sorted(steps) == list(range(2000))


def test_e4_rollouts_that_threads_begin_at_one_step_are_each_their_own() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            ids = RolloutIds("r")
            taken: list[str] = []
            _together(8, lambda _, take=ids.take, to=taken: to.extend([take(5, "") for _ in range(200)]))
            assert len(set(taken)) == 1600
    finally:
        sys.setswitchinterval(before)


def test_e4_threads_that_open_one_session_share_it(tmp_path: Path) -> None:
    def work(n: int) -> None:
        with cm.Run(session_id="s", spool_dir=tmp_path) as run:
            run.log_user(str(n))

    _together(8, work)
    session = jobs.only_session(tmp_path)
    assert sorted(jobs.texts(session)) == [str(n) for n in range(8)]
    assert jobs.gaps(session) == {}
    assert len({one.epoch for one in jobs.records(session)}) == 1


def test_e4_8_processes_open_one_session_at_once(tmp_path: Path) -> None:
    script = """
sys.stdin.readline()
cm.init(session_id='s', project=sys.argv[1])
for i in range(100): cm.log_user(f"{sys.argv[1]}:{i}")
"""
    import subprocess
    import sys

    workers = [
        subprocess.Popen(
            [sys.executable, "-c", "import sys\nimport tracehouse as cm\nprint(flush=True)\n" + script, str(n)],
            env=jobs.environ(tmp_path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=60)
        assert worker.returncode == 0
    session = jobs.only_session(tmp_path)
    assert len(set(jobs.texts(session))) == 800
    assert jobs.gaps(session) == {}
    assert len({one.epoch for one in jobs.records(session)}) == 8
    assert len({one.data["session"]["uid"] for one in jobs.records(session) if one.type == "segment"} - {""}) == 1


def test_e4_more_sessions_than_open_files(tmp_path: Path) -> None:
    runs = [cm.Run(session_id=f"s{n}", spool_dir=tmp_path) for n in range(200)]
    for _ in range(2):
        for run in runs:
            run.log_user("x")
    for run in runs:
        run.finish()
    for session in jobs.sessions(tmp_path):
        assert len(jobs.texts(session)) == 2
        assert jobs.gaps(session) == {}


def test_spans_nest_over_tasks(tmp_path: Path) -> None:
    run = cm.Run(session_id="s", spool_dir=tmp_path)

    async def step(name: str) -> None:
        async with run.span("tool_use", name):
            await asyncio.sleep(0)
            run.log_thinking(name)

    async def main() -> None:
        with run.span("tool_use", "outer"):
            await asyncio.gather(step("a"), step("b"))
            run.log_thinking("outer")
        run.log_thinking("none")

    asyncio.run(main())
    run.finish()
    spans = jobs.of_type(jobs.only_session(tmp_path), "span")
    ids = {span["id"]: span["name"] for span in spans}
    said = {
        span["attributes"]["text"]: ids.get(span.get("parent_span_id")) for span in spans if span["kind"] == "thinking"
    }
    assert said == {"a": "a", "b": "b", "outer": "outer", "none": None}
    opened = {span["name"]: ids.get(span.get("parent_span_id")) for span in spans if span["kind"] == "tool_use"}
    assert opened == {"outer": None, "a": "outer", "b": "outer"}


def test_e3_a_dict_that_another_thread_changes_while_it_is_logged_raises_nothing_and_is_recorded(
    tmp_path: Path,
) -> None:
    script = """
        class Key(str):  # comes in between as another thread would
            def __hash__(self):
                if len(shared) < 100:
                    shared[str(len(shared))] = 0.5
                return 1

        shared = {}
        shared.update({Key("a"): float("nan"), "b": 0.5})
        run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
        run.log(shared, step=1)
        shared = {Key("a"): float("nan"), "b": 0.5}
        run.log({"inner": shared}, step=2)
        print(run.flush())
    """
    job = jobs.run(script, tmp_path)
    assert job.out == "True\n", job.err
    first, second = (one["values"] for one in jobs.of_type(jobs.only_session(tmp_path), "metrics"))
    nan = {"_type": "number", "value": "NaN"}
    assert (first["a"], first["b"]) == (second["inner"]["a"], second["inner"]["b"]) == (nan, 0.5)
