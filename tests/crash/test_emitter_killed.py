"""E2, E3: a job killed, or whose disk fails, at any of its system calls: what its calls said was recorded arrives once."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.strace import failing, killing

# the ledger is written by the job itself, after each call that returned: what stands there must arrive
JOB = """
    name, ledger = sys.argv[1:]
    book = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    def returned(*what):
        import json
        try:
            os.write(book, json.dumps(what).encode() + b"\\n")
        except OSError:
            pass
    run = cm.TrainingRun(client_run_id=name, name="r", system_metrics=False, capture_env=False)
    returned("run")
    for step in range(8):
        run.log({"loss": step}, step=step)
        returned("loss", step)
        if step == 3:
            run.log_image("grid", b"\\x89PNG\\r\\n\\x1a\\n" + name.encode() * 40, step=step)
            returned("grid", step)
            run.flush()
        with run.rollout(step=step, session_id=f"{name}-{step}") as t:
            t.log_user("hello")
            returned("span", f"{name}-{step}")
    run.finish()
    returned("finished")
"""
KILLS = {
    "write": 36,
    "fdatasync": 3,
    "fsync": 5,
    "mkdir": 5,
    "rename": 1,
    "link": 1,
    "unlink": 2,
    "flock": 1,
    "utimensat": 1,
}
ERRORS = {
    "write": ("ENOSPC", "EIO", "EDQUOT"),
    "fdatasync": ("EIO", "ENOSPC"),
    "fsync": ("EIO",),
    "link": ("EPERM", "EIO"),
    "rename": ("EIO", "EROFS"),
    "mkdir": ("EACCES", "ENOSPC", "EROFS"),
}


def entries(path: Path) -> list[list[object]]:
    return [json.loads(one) for one in path.read_text().splitlines()] if path.exists() else []


def assert_all_that_returned(there: Held, name: str, ledger: Path, lost: int = 0) -> None:
    """``lost``: records that the job itself counted as dropped."""
    told = entries(ledger)
    if not told:
        return
    points = there.points(name)
    assert not points or max(points.values()) == 1, f"{name}: {points}"
    wanted_points = {(what[0], what[1]) for what in told if what[0] == "loss"}
    spans = {str(what[1]) for what in told if what[0] == "span"}
    held_spans = {
        s for s in spans if any(t["session_id"] == s for t in there.traces(s)) and there.texts(s) == ["hello"]
    }
    media = {what[1] for what in told if what[0] == "grid"}
    missing = len(wanted_points - set(points)) + len(spans - held_spans)
    missing += len(media - {step for _, step in there.media(name)})
    assert missing <= lost, f"{name}: {missing} are missing, {lost} were counted as dropped"


def test_e2_a_job_killed_at_any_system_call_loses_nothing_that_was_recorded(house: House, tmp_path: Path) -> None:
    home = Home(tmp_path, house.url).with_key(house.key)
    points = [(call, when) for call, most in KILLS.items() for when in range(1, most + 1)]
    killed = 0
    for call, when in points:
        name = f"k-{call}-{when}"
        process = home.start_job(JOB, name, str(tmp_path / name), prefix=killing(call, when))
        process.communicate(timeout=60)
        killed += process.returncode != 0
    assert killed > len(points) // 2, "few points were met"
    done = home.sync("--jobs", "2")
    assert done.code == 0, done.err
    with Held(house) as there:
        for call, when in points:
            name = f"k-{call}-{when}"
            assert_all_that_returned(there, name, tmp_path / name)
            if ["finished"] in entries(tmp_path / name):
                assert there.run(name)["status"] == "finished"
            elif ["run"] in entries(tmp_path / name):
                assert there.run(name)["status"] in ("crashed", "finished")


def test_e3_a_job_whose_disk_fails_ends_as_it_would_and_counts_what_is_lost(house: House, tmp_path: Path) -> None:
    home = Home(tmp_path, house.url).with_key(house.key)
    chance = random.Random(3)
    calls = [(call, error) for call, errors in ERRORS.items() for error in errors]
    # once, now and then, and for good
    times = [(str(chance.randrange(1, 20)), f"{chance.randrange(1, 8)}+3", f"{chance.randrange(2, 5)}+") for _ in calls]
    points = [(call, error, when) for (call, error), whens in zip(calls, times) for when in whens]
    for number, (call, error, when) in enumerate(points):
        prefix = failing(call, error, when)
        process = home.start_job(JOB, f"e-{number}", str(tmp_path / f"e-{number}"), prefix=prefix)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, (call, error, when, err)
        assert "Traceback" not in err, (call, error, when, err)
    home.sync("--jobs", "2")
    statuses = {one["id"]: one for one in home.run("status", str(home.spool), "--json").json["sessions"]}
    with Held(house) as there:
        for number, (_, _, when) in enumerate(points):
            if when.isdigit():
                name = f"e-{number}"
                assert statuses[name]["uploaded"], statuses[name]
                assert_all_that_returned(there, name, tmp_path / name, statuses[name]["dropped"])
