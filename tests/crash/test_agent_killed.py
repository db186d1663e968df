"""A1, A2: the agent killed at any of its system calls, once or twice, and run again: each record in the house once."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.segments import twin
from tests.support.strace import killing

JOB = """
    run = cm.TrainingRun(client_run_id="source", name="r", system_metrics=False, capture_env=False)
    for step in range(12):
        run.log({"loss": 1 / (step + 1), "acc": step})
        if step % 4 == 0:
            run.log_image("grid", b"\\x89PNG\\r\\n\\x1a\\n" + bytes([step]) * 100, step=step)
            run.add_artifact(f"note-{step}", data={"step": step})
    with run.rollout(step=3, session_id="source-roll") as t:
        for number in range(6):
            t.log_user(f"text {number}")
        t.finish(outcome="good")
    run.finish()
"""
SMALL = {"TRACEHOUSE_BATCH_POINTS": "4", "TRACEHOUSE_BATCH_SPANS": "2"}
# how often the busiest thread of a sync of that job makes each call, and some more
CALLS = {
    "write": 12,
    "fdatasync": 6,
    "fsync": 5,
    "rename": 2,
    "unlink": 2,
    "sendto": 8,
    "recvfrom": 8,
    "pwrite64": 1,
    "flock": 1,
}
POINTS = [(call, when) for call, most in CALLS.items() for when in range(1, most + 1)]
GROUPS = 6


@pytest.fixture(scope="module")
def source(house: House, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("source"), house.url)
    home.job(JOB)
    return home


def of_its_own(source: Home, house: House, directory: Path, name: str) -> Home:
    directory.mkdir()
    home = Home(directory, house.url).with_key(house.key)
    home.spool.mkdir()
    shutil.copytree(source.spool / ".writers", home.spool / ".writers")
    twin(source.session(), home.spool, "source", name)
    return home


def assert_all_there_once(house: House, name: str) -> None:
    with Held(house) as there:
        points = there.points(name)
        assert set(points) == {(key, step) for key in ("loss", "acc") for step in range(12)}
        assert set(points.values()) == {1}
        assert there.media(name) == [("grid", step) for step in (0, 4, 8)]
        assert there.artifacts(name) == [f"note-{step}" for step in (0, 4, 8)]
        assert there.texts(f"{name}-roll") == [f"text {number}" for number in range(6)]
        assert there.trace(f"{name}-roll")["outcome"] == "good"
        assert there.run(name)["status"] == "finished"


@pytest.mark.parametrize("group", range(GROUPS))
def test_a1_killed_once_or_twice_and_run_again(source: Home, house: House, tmp_path: Path, group: int) -> None:
    chance = random.Random(group)
    killed = 0
    for call, when in POINTS[group::GROUPS]:
        name = f"{call}-{when}"
        home = of_its_own(source, house, tmp_path / name, name)
        points = [(call, when)]
        if chance.random() < 0.4:
            points.append(chance.choice(POINTS))
        for point in points:
            done = home.run("sync", str(home.spool), prefix=killing(*point), **SMALL)
            killed += done.code == -9 or done.code == 137
        done = home.sync(**SMALL)
        assert done.code == 0, (points, done.err)
        assert_all_there_once(house, name)
        assert home.status()["uploaded"] is True
    assert killed > 0, "no point was met"
