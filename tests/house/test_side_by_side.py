"""Two houses on one PostgreSQL and one bucket, behind one address, with real agents: each record once, whatever is killed."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from tests.support.buckets import Buckets
from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.postgres import Postgres
from tests.support.proxy import Fault, Proxy, lost
from tests.support.servers import Received

STEPS = range(0, 60, 6)
JOB = """
    name = sys.argv[1]
    run = cm.TrainingRun(client_run_id=name, name=name, system_metrics=False, capture_env=False)
    for step in range(60):
        run.log({"loss": step / 8, "kl": -step}, step=step)
        if step % 6 == 0:
            run.log_image("sample", b"\\x89PNG\\r\\n\\x1a\\n" + f"{name} {step}".encode() * 100, step=step)
            with run.rollout(step=step, session_id=f"{name}-{step}") as rollout:
                rollout.log_user("question")
                rollout.log_assistant("answer")
                rollout.finish(outcome="good", metadata={"reward": step / 4})
    run.finish()
"""


class Balancer:
    """What is to become of each request: every other goes to the other house; one in nine has its answer lost, and at a few
    a house is killed and started again."""

    def __init__(self, houses: tuple[House, House]) -> None:
        self._houses = itertools.cycle(houses)
        self._numbers = itertools.count(1)
        self.proxy = Proxy(houses[0].url, self._rule)
        self.kills = 0

    def _rule(self, _request: Received) -> Fault | None:
        number, house = next(self._numbers), next(self._houses)
        self.proxy.upstream = house.url
        if number in (8, 17, 26):
            house.kill()
            house.start()
            self.kills += 1
        return lost if number % 9 == 0 else None


def test_a1_two_agents_and_two_houses_with_kills_and_lost_answers_end_with_each_record_once(
    tmp_path: Path, postgres: Postgres
) -> None:
    with Buckets() as buckets, pytest.MonkeyPatch.context() as patch:
        for name, value in buckets.environ.items():
            patch.setenv(name, value)
        options = ["--database", postgres.url, "--media", "s3://house"]
        with House(tmp_path / "one", *options) as one, House(tmp_path / "two", *options) as two:
            balancer = Balancer((one, two))
            homes = [Home(tmp_path / name, balancer.proxy.url).with_key(one.key) for name in ("left", "right")]
            for home in homes:
                home.directory.mkdir()
                home.job(JOB, home.directory.name)
            agents = [home.start("sync", str(home.spool)) for home in homes]
            for agent in agents:
                agent.communicate(timeout=100)
            for home in homes:
                done = home.sync()
                assert done.code == 0, done.err
            balancer.proxy.stop()
            assert balancer.kills == 3
            for house in (one, two):
                with Held(house) as held:
                    for name in ("left", "right"):
                        _check(held, name)
            assert len(buckets.names()) == 2 * len(STEPS)


def _check(held: Held, name: str) -> None:
    assert held.points(name) == Counter((key, step) for key in ("loss", "kl") for step in range(60))
    assert held.values(name, "kl") == [-step for step in range(60)]
    assert held.media(name) == [("sample", step) for step in STEPS]
    assert held.run(name)["status"] == "finished"
    rollouts = held.traces(f"{name}-")
    assert sorted(one["rollout_step"] for one in rollouts) == list(STEPS)
    assert {one["outcome"] for one in rollouts} == {"good"}
    for one in rollouts:
        assert held.texts(one["session_id"]) == ["question", "answer"]
