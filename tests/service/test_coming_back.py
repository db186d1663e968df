"""What is removed, put away and put back while the agent runs: whatever is there then is uploaded, and the agent lives."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.service.support import Site, send
from tests.support.house import House, all_points
from tests.support.waiting import wait_until
from tracehouse.spool import layout, liveness
from tracehoused.config import resolve
from tracehoused.service.agent import Agent
from tracehoused.service.lookout import Lookout
from tracehoused.service.parking import Parking
from tracehoused.service.spools import Spool, fingerprint
from tracehoused.service.tracked import Schedule, Tracked
from tracehoused.service.watcher import Watcher
from tracehoused.service.watches import Watches
from tracehoused.upload.engine import Destination, Engine

_RUNS = """
    for n in range(2):
        run = cm.TrainingRun(client_run_id=f"r{n}", system_metrics=False, capture_env=False)
        run.log({"loss": 1.0})
        run.finish()
"""


@pytest.fixture
def agent(site: Site, house: House) -> Iterator[Agent]:
    """One that is stepped by hand, with two sessions that are over; its server is down."""
    site.finished_job(_RUNS)
    house.stop()
    engine = Engine(resolve({}, environ=site.environ), site.environ)
    lookout = Lookout([str(site.spool)], str(site.state), rescan_every=3600, dead_after=60)
    made = Agent(engine, lookout, jobs=2)
    yield made
    made.stop()
    made.run()
    engine.close()


def _step_until(agent: Agent, is_so: Callable[[], bool]) -> None:
    def step() -> bool:
        agent.step(agent.lookout.watcher.wait(min(0.05, agent.until_due())))
        return is_so()

    wait_until(step, what=lambda: str({path: one.state for path, one in agent.lookout.sessions.items()}))


def _rescan(agent: Agent) -> None:
    agent.lookout.look_now()
    _step_until(agent, lambda: agent.lookout.has_looked)


def _all_wait(agent: Agent) -> bool:
    sessions = agent.lookout.sessions.values()
    return len(sessions) == 2 and all(one.state == "parked" and not one.running and not one.ready for one in sessions)


def test_a5_sessions_that_waited_for_the_server_while_they_were_away_are_uploaded_once_they_are_back(
    agent: Agent, house: House, tmp_path: Path
) -> None:
    _step_until(agent, lambda: _all_wait(agent))
    before = dict(agent.lookout.sessions)
    for path in before:
        os.rename(path, tmp_path / os.path.basename(path))
    _rescan(agent)
    assert not agent.lookout.sessions
    for path in before:
        os.rename(tmp_path / os.path.basename(path), path)
    _step_until(agent, lambda: _all_wait(agent))
    house.start()
    _step_until(agent, lambda: not agent.lookout.sessions)
    with house.client() as client:
        assert len(client.get("/v1/runs").json()["runs"]) == 2
    assert all(one.due is None and not one.ready for one in before.values())


def test_a5_when_the_session_that_asks_for_all_is_removed_another_asks(agent: Agent, house: House) -> None:
    _step_until(agent, lambda: _all_wait(agent))
    _rescan(agent)  # which tries each once more: its writer has ended
    _step_until(agent, lambda: _all_wait(agent))
    [asking] = [path for path, one in agent.lookout.sessions.items() if one.due is not None]
    shutil.rmtree(asking)
    _rescan(agent)
    house.start()
    _step_until(agent, lambda: not agent.lookout.sessions)
    with house.client() as client:
        assert len(client.get("/v1/runs").json()["runs"]) == 1


@pytest.fixture
def watches() -> Iterator[tuple[Watcher, Watches, dict[str, Tracked]]]:
    watcher, sessions = Watcher(), dict[str, Tracked]()
    if watcher.problem:
        pytest.skip(watcher.problem)
    yield watcher, Watches(watcher, sessions), sessions
    watcher.close()


def _session(spool: Path) -> Path:
    path = spool / layout.session_dir("run", "r", "http://x", None)
    path.mkdir(parents=True)
    return path


def _record(session: Path) -> None:
    (session / layout.segment_name("0" * 16, len(os.listdir(session)))).write_text("x")


@pytest.mark.parametrize("how", ["removed", "removed and told", "moved away"])
def test_a6_a_session_that_is_gone_and_comes_again_is_watched_again(
    how: str, watches: tuple[Watcher, Watches, dict[str, Tracked]], tmp_path: Path
) -> None:
    watcher, given, sessions = watches
    path = _session(tmp_path / "spool")
    watcher.add_spool(str(path.parent))
    tracked = sessions[str(path)] = Tracked(str(path), 0.0)
    given.give(tracked, 0.0)
    shutil.move(path, tmp_path / "away") if how == "moved away" else shutil.rmtree(path)
    if how == "removed and told":
        watcher.wait(0)
    _session(path.parent)
    assert watcher.wait(10).sessions == {str(path)}
    given.give(tracked, 0.0)
    assert (tracked.watched, watcher.watches) == (True, 3)
    _record(path)
    assert watcher.wait(10).sessions == {str(path)}
    given.take(tracked)
    assert (tracked.watched, watcher.watches) == (False, 2)


def test_a6_a_session_that_moves_to_another_spool_is_watched_there_until_it_is_settled(
    watches: tuple[Watcher, Watches, dict[str, Tracked]], tmp_path: Path
) -> None:
    watcher, given, sessions = watches
    one = _session(tmp_path / "one")
    (tmp_path / "two").mkdir()
    two = tmp_path / "two" / one.name
    for path in (one, two):
        watcher.add_spool(str(path.parent))
        sessions[str(path)] = Tracked(str(path), 0.0)
    given.give(sessions[str(one)], 0.0)
    os.rename(one, two)
    watcher.wait(0)
    given.give(sessions[str(two)], 0.0)
    given.take(sessions[str(one)])
    _record(two)
    assert watcher.wait(10).sessions == {str(two)}
    given.take(sessions[str(two)])
    assert watcher.watches == 4


def test_a4_a_run_that_is_brought_back_where_it_was_deleted_goes_on_there(site: Site, house: House) -> None:
    job = site.job("""
        run = cm.TrainingRun(client_run_id="r1", capture_env=False, system_metrics=False)
        for line in sys.stdin:
            run.log({"loss": float(line)})
    """)
    site.start()

    def is_there(*values: float) -> Callable[[], bool]:
        return lambda: (
            [point[4] for run in _runs(client) for point in all_points(client, run["id"], "loss")] == [*values]
        )

    with house.client() as client, httpx.Client(base_url=house.url, headers={"Origin": house.url}) as owner:
        send(job, "1")
        wait_until(is_there(1.0), what="the first value")
        [run] = _runs(client)
        assert client.delete(f"/v1/runs/{run['id']}").is_success
        send(job, "2")
        wait_until(lambda: site.status()["agent"]["sessions"]["stopped"], what="its end there")
        assert owner.post("/signin", data={"key": house.key}).is_success
        assert owner.post("/restore", data={"kind": "run", "id": run["id"]}).status_code == 303
        wait_until(is_there(1.0, 2.0), what="the second value")
        send(job, "3")
        wait_until(is_there(1.0, 2.0, 3.0), what="the third value")


def _runs(client: httpx.Client) -> list[dict[str, Any]]:
    return list(client.get("/v1/runs").json()["runs"])


def test_a10_many_that_were_deleted_at_their_server_are_asked_for_one_a_second_and_one_within_five_minutes() -> None:
    schedule = Schedule(4)
    parking = Parking(schedule, Random(1))
    deleted = [Tracked(f"/spool/run-{number}", 0.0) for number in range(2000)]
    for session in deleted:
        parking.stop(session, 0.0)
    for now in range(0, 10_000, 100):
        due = schedule.due(now)
        assert len(due) <= 100
        for session in due:
            parking.stop(session, now)
    for session in deleted[1:]:
        session.state = "gone"
    parking.keep_asking(10_000.0)
    for _ in range(10):
        parking.stop(deleted[0], 10_000.0)
        assert deleted[0].due is not None
        assert deleted[0].due <= 10_300.0


def test_a10_of_thousands_that_wait_for_a_server_few_have_their_turn_at_each_of_its_answers() -> None:
    schedule, there = Schedule(4), Destination("http://busy", "me")
    parking = Parking(schedule, Random(1))
    waiting = [Tracked(f"/spool/run-{number}", 0.0) for number in range(2000)]
    for session in waiting:
        parking.park(session, there.api_base, 60.0, 0.0)
    parking.hear(there, "session", 1.0)
    tried = schedule.due(1.0)
    assert 0 < len(tried) <= 64
    for session in tried:  # nothing more is taken
        parking.park(session, there.api_base, 60.0, 1.0)
    [asking] = [session for session in waiting if session.due is not None]
    assert asking.due is not None
    done = [asking]
    while done:
        for session in done:
            session.state = "live"
            parking.hear(there, "", 100.0)
        done = schedule.due(100.0)
    assert not [session for session in waiting if session.state == "parked"]


def test_a9_a_key_that_comes_while_a_pass_looks_for_one_is_found(tmp_path: Path) -> None:
    keys, session = tmp_path / "credentials.json", tmp_path / "spool" / "run-r-0123456789abcdef"
    session.mkdir(parents=True)
    lookout = Lookout(
        [str(session.parent)], str(tmp_path / "state"), rescan_every=60.0, dead_after=60.0, credentials=[str(keys)]
    )
    lookout.open()
    [found] = lookout.rescan(0.0)
    found.mark, found.running = fingerprint(str(session)), True
    keys.touch()
    assert lookout.rescan(1.0) == [found]
    lookout.close()


def test_a_job_can_know_of_an_agent_whose_spool_another_one_or_a_job_had_locked(tmp_path: Path) -> None:
    first, second = (Spool(str(tmp_path), str(tmp_path / name)) for name in ("a", "b"))
    for spool in (first, second):
        spool.open()
    first.close()
    assert not liveness.is_locked(str(tmp_path / layout.AGENT_LOCK))
    second.open()  # as at each look
    assert liveness.is_locked(str(tmp_path / layout.AGENT_LOCK))
    second.close()


def test_s5_a_link_among_the_sessions_is_not_followed_because_it_came_just_now(tmp_path: Path) -> None:
    here, there = (tmp_path / name / "run-r-0123456789abcdef" for name in ("spool", "elsewhere"))
    there.mkdir(parents=True)
    lookout = Lookout([str(here.parent)], str(tmp_path / "state"), rescan_every=60.0, dead_after=60.0)
    lookout.open()
    here.symlink_to(there)
    assert not list(lookout.hinted(lookout.watcher.wait(10), 0.0))
    here.unlink()
    here.mkdir()
    assert [one.path for one in lookout.hinted(lookout.watcher.wait(10), 0.0)] == [str(here)]
    lookout.close()
