"""Runs that were begun again before, or after, anything of them was sent."""

from __future__ import annotations

import itertools
import json
import os
from datetime import datetime, timezone
from pathlib import Path

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Fault, proxied, status
from tests.support.segments import AT, EPOCH
from tests.support.servers import Received
from tracehouse.spool import layout, liveness
from tracehoused.upload import presence
from tracehoused.upload.reader import Epoch

# of each run one attempt; the first is killed
_JOB = """
    import signal
    attempt, names = int(sys.argv[1]), sys.argv[2:]
    config = {"lr": attempt, f"of{attempt}": 1} if attempt < 3 else None
    for name in names:
        run = cm.TrainingRun(client_run_id=name, config=config, system_metrics=False, capture_env=False)
        run.log({"loss": attempt})
        if attempt == 2: run.config["lr"] = 12
        if attempt > 1: run.finish()
    if attempt == 1: os.kill(os.getpid(), signal.SIGKILL)
"""


def test_s9_a_run_begun_again_has_its_first_start_and_its_last_config_whichever_segment_has_the_lower_name(
    home: Home, house: House
) -> None:
    names = [f"again-{n}" for n in range(8)]
    home.start_job(_JOB, "1", *names).wait()
    between = datetime.now(timezone.utc).isoformat()
    home.job(_JOB, "2", *names)
    assert home.sync("--close-dead").code == 0
    with house.client() as client:
        runs = [run for run in client.get("/v1/runs").json()["runs"] if run["client_run_id"] in names]
    assert [run["started_at"] for run in runs if run["started_at"] > between] == []
    assert [run["config"] for run in runs] == [{"lr": 12, "of1": 1, "of2": 1}] * len(names)


def test_a1_what_a_run_said_last_stays_when_the_server_is_asked_whether_it_knows_the_run(
    home: Home, house: House
) -> None:
    home.start_job(_JOB, "1", "known").wait()
    home.job(_JOB, "2", "known")
    assert home.sync().code == 0
    home.job(_JOB, "3", "known")
    once = itertools.count()

    def rule(request: object) -> object:
        is_points = request.target.endswith("/metrics")  # type: ignore[attr-defined]
        return status(404) if is_points and next(once) == 0 else None

    with proxied(house.url, rule) as proxy:  # type: ignore[arg-type]
        home.sync("--api-base", proxy.url)
        [asked] = [one for one in proxy.received if one.target == "/v1/runs" and "idempotency-key" not in one.headers]
    with house.client() as client:
        [run] = [run for run in client.get("/v1/runs").json()["runs"] if run["client_run_id"] == "known"]
    assert run["config"]["lr"] == 12, asked.body


def test_a7_no_run_stays_closed_while_a_writer_lives_that_a_later_attempt_took_for_dead(
    home: Home, house: House, tmp_path: Path
) -> None:
    job = home.start_job("""
        run = cm.TrainingRun(client_run_id="unseen", capture_env=False, system_metrics=False)
        for _ in range(3):
            run.log({"a": 1})
            print(run.flush(), flush=True)
            sys.stdin.readline()
        run.finish(status="failed")
    """)
    assert job.stdout is not None
    assert job.stdin is not None
    assert job.stdout.readline() == "True\n"
    [lock] = (home.spool / ".writers").iterdir()
    away = lock.rename(tmp_path / "away")  # as if its node were not heard of
    home.job("cm.TrainingRun(client_run_id='unseen', capture_env=False, system_metrics=False).finish()", RANK="1")
    home.sync()
    with Held(house) as held:
        assert held.run("unseen")["status"] == "finished"
        away.rename(lock)
        job.stdin.write("\n")
        job.stdin.flush()
        assert job.stdout.readline() == "True\n"
        home.sync()
        assert held.run("unseen")["status"] == "running"
        job.communicate("\n\n", timeout=60)
        assert home.sync().code == 0
        assert held.run("unseen")["status"] == "failed"


def test_a7_who_had_a_heartbeat_lately_on_another_machine_lives(tmp_path: Path) -> None:
    (tmp_path / layout.WRITERS).mkdir()
    os.close(liveness.create_lock(str(tmp_path / layout.WRITERS), EPOCH, AT))
    lock = tmp_path / layout.WRITERS / layout.lock_name(EPOCH)
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "boot_id": "another"}))
    heard = presence.heard_of(str(tmp_path / "session"))
    writer = Epoch(EPOCH, {}, {})
    assert heard(writer)
    os.utime(lock, (lock.stat().st_mtime - 3600,) * 2)
    assert not heard(writer)


def test_a7_a_run_begun_again_in_its_process_runs_and_crashes_whatever_broke_off_the_pass_that_read_its_beginning(
    home: Home, house: House
) -> None:
    job = home.start_job("""
    for word in ("first", "second"):
        run = cm.TrainingRun(client_run_id="reborn", system_metrics=False, capture_env=False)
        run.log({"loss": 1})
        if word == "first": run.finish()
        run.flush()
        print(word, flush=True)
        sys.stdin.readline()
    """)
    assert job.stdin is not None
    assert job.stdout is not None
    broken: list[bool] = []

    def rule(request: Received) -> Fault | None:
        return status(429) if broken and request.target.endswith("/metrics") else None

    with proxied(house.url, rule) as proxy:

        def sync(code: int) -> None:
            assert home.sync("--api-base", proxy.url).code == code

        assert job.stdout.readline() == "first\n"
        sync(0)
        job.stdin.write("\n")
        job.stdin.flush()
        assert job.stdout.readline() == "second\n"
        broken.append(True)
        sync(1)
        broken.clear()
        sync(0)
        with Held(house) as held:
            assert held.run("reborn")["status"] == "running"
        job.kill()
        job.wait()
        sync(0)
    with Held(house) as held:
        assert held.run("reborn")["status"] == "crashed"
