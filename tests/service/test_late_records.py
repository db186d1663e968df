"""A6: what is recorded after a session's end is uploaded too, whether it is told of or found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracehouse as cm
from tests.service.support import Site, heard, send
from tests.service.test_coming_back import _rescan, _step_until
from tests.support import jobs, segments
from tests.support.home import Held
from tests.support.house import House
from tracehouse.spool import layout, manifest
from tracehoused.config import resolve
from tracehoused.service.agent import Agent
from tracehoused.service.growing import LINGERS
from tracehoused.service.lookout import Lookout
from tracehoused.service.spools import fingerprint
from tracehoused.upload.engine import Engine

_JOB = """
    run = cm.init_run(client_run_id="{run}", system_metrics=False, capture_env=False)
    run.log({{"loss": 1.0}})
    {ending}
    print("begun", flush=True)
    for step, _ in enumerate(sys.stdin):
        run.log({{"late": step}}, step=step)
"""


@pytest.fixture
def agent(site: Site) -> Iterator[Agent]:
    """One that is stepped by hand, and looks through its spool only when it is told to."""
    engine = Engine(resolve({}, environ=site.environ), site.environ)
    made = Agent(engine, Lookout([str(site.spool)], str(site.state), rescan_every=3600, dead_after=60), jobs=2)
    _rescan(made)
    yield made
    made.stop()
    made.run()
    engine.close()


def _settle(agent: Agent, house: House, late: dict[str, int]) -> None:
    """Go on until so many late values of each run have arrived, and nothing more is to be done."""

    def is_settled() -> bool:
        with Held(house) as held:
            return all(len(held.values(run, "late")) == count for run, count in late.items())

    _step_until(agent, lambda: not agent.lookout.sessions)
    _step_until(agent, lambda: not agent.lookout.sessions and is_settled())


def _begun(site: Site, run: str, ending: str) -> subprocess.Popen[bytes]:
    """A job that ends its run, and then logs a value for each line that it is sent."""
    job = site.job(_JOB.format(run=run, ending=ending))
    assert heard(job) == "begun"
    return job


def test_a6_each_record_after_the_end_is_uploaded_as_it_comes(site: Site, agent: Agent, house: House) -> None:
    endings = ("run.finish()", "part = cm.attach_run(); run.finish(); run = part")
    all_jobs = [_begun(site, f"r{n}", ending) for n, ending in enumerate(endings)]
    for late in range(1, 4):
        for job in all_jobs:
            send(job, "go on")
        _settle(agent, house, {"r0": late, "r1": late})


def test_a7_a_killed_run_of_which_a_part_had_ended_in_the_same_process_is_crashed(
    site: Site, agent: Agent, house: House
) -> None:
    job = _begun(site, "r", "cm.attach_run().finish()")
    job.kill()
    job.wait()
    _rescan(agent)
    _step_until(agent, lambda: not agent.lookout.sessions)
    with Held(house) as held:
        assert held.run("r")["status"] == "crashed"


def test_a6_records_that_nothing_tells_of_are_found_by_the_next_look(site: Site, agent: Agent, house: House) -> None:
    """As an emitter leaves them that does not know of late records, or was killed amid one."""
    all_jobs = [_begun(site, f"r{n}", "part = cm.attach_run(); run.finish()") for n in range(2)]
    _settle(agent, house, {"r0": 0, "r1": 0})
    all_jobs[1].kill()
    all_jobs[1].wait()
    for late in range(1, 3):
        for session in jobs.sessions(site.spool):
            _append(session, late)
        if late == 2:  # found by an agent that begins anew
            agent.lookout.save()
            agent.lookout.spools.clear()
        _rescan(agent)
        _settle(agent, house, {"r0": late, "r1": late})


def _append(session: Path, late: int) -> None:
    [file] = session.glob("*.jsonl")
    of, (*_, last) = manifest.read(str(session)), jobs.records(session)
    with open(file, "ab") as segment:
        data = segments.metrics(late, late=late)
        segment.write(segments.line(last.seq + 1, "metrics", data, uid=of.uid, epoch=last.epoch))


def test_a10_a_session_that_cannot_grow_any_more_is_not_measured_for_ever(tmp_path: Path) -> None:
    lookout = Lookout([str(tmp_path / "spool")], str(tmp_path / "state"), rescan_every=3600, dead_after=60)
    lookout.open()
    [spool] = lookout.spools.values()
    with cm.Run(session_id="s", spool_dir=spool.path) as run:
        run.log_user("hello")
    [tracked] = lookout.rescan(0.0)
    lookout.settled(tracked, fingerprint(tracked.path))
    assert not lookout.rescan(1.0)
    [(name, note)] = spool.ledger.items()
    [(_, size)] = note.ends
    assert size == fingerprint(tracked.path)[0]
    spool.ledger.put(name, note._replace(wall=note.wall - LINGERS, odo=note.odo - LINGERS))
    assert not lookout.rescan(2.0)
    [(_, note)] = spool.ledger.items()
    assert note.ends  # its writer lives: this process
    os.unlink(next((Path(spool.path) / layout.WRITERS).iterdir()))
    assert not lookout.rescan(3.0)
    [(_, note)] = spool.ledger.items()
    assert not note.ends
    lookout.close()
