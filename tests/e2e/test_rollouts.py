"""Rollouts at a server that takes them one by one: patched whenever their end comes, whatever the agent has at hand of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy, proxied, status
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tracehoused.config import resolve
from tracehoused.upload.engine import Engine

COUNT = 120
JOB = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], system_metrics=False, capture_env=False)
    made = [run.rollout(step=n, session_id=f"{sys.argv[1]}-{n}") for n in range(int(sys.argv[2]))]
    for one in made:
        one.log_user("x" * 20_000)
    run.flush()
    print("ready", flush=True)
    sys.stdin.readline()
    for one in made:
        one.finish(outcome="good")
    run.finish()
"""


def _creations(proxy: Proxy) -> list[str]:
    return [one.target for one in proxy.received if (one.method, one.target) == ("POST", "/v1/traces")]


def test_s6_the_ends_of_rollouts_made_long_ago_cost_one_reading_of_the_spool(home: Home, house: House) -> None:
    io = Path("/proc/self/io")
    if not io.exists():
        pytest.skip("[linux] needs /proc")
    with proxied(house.url, plain=True) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        job = home.start_job(JOB, "long-ago", str(COUNT))
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        assert home.sync().code == 0
        job.communicate("\n", timeout=60)
        size = sum(path.stat().st_size for path in home.session().glob("*.jsonl"))

        def read() -> int:
            return int(io.read_text().split("rchar:")[1].split()[0])

        # an agent that has never heard of these rollouts
        engine = Engine(resolve({}, environ=home.environ), home.environ)
        before = read()
        report = engine.drain(str(home.session()))
        taken = read() - before
        engine.close()
    assert report.outcome.complete, report.outcome.trouble
    assert taken < 8 * size, f"{taken} bytes were read of {size}"
    with Held(house) as held:
        assert [one["outcome"] for one in held.traces("long-ago-")] == ["good"] * COUNT


def test_a_rollout_that_ends_while_the_agent_runs_is_not_made_again(home: Home, house: House) -> None:
    with proxied(house.url, plain=True) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        agent = home.start_agent()
        try:
            job = home.start_job(JOB, "lively", "5")
            with Held(house) as held:
                wait_until(lambda: sum(len(held.texts(one["session_id"])) for one in held.traces("lively-")) == 5)
                assert job.stdin is not None
                job.communicate("\n", timeout=60)
                wait_until(lambda: [one["outcome"] for one in held.traces("lively-")] == ["good"] * 5)
            assert len(_creations(proxy)) == 5
        finally:
            agent.kill()
            agent.wait()


def test_a4_a_rollout_that_the_server_lacks_is_made_again_before_it_is_patched(home: Home, house: House) -> None:
    lacking = {"lost-1", "lost-2"}

    def forgetful(request: Received) -> Fault | None:
        """These two are not there when they are to be patched, until somebody asks for them anew."""
        if (request.method, request.target) == ("POST", "/v1/traces") and "idempotency-key" not in request.headers:
            lacking.discard(json.loads(request.body)["session_id"])
        is_patch = request.method == "PATCH" and request.target.startswith("/v1/traces/")
        return status(404) if is_patch and json.loads(request.body)["metadata"]["name"] in lacking else None

    with proxied(house.url, forgetful, plain=True) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        home.job("""
    run = cm.TrainingRun(client_run_id="lossy", system_metrics=False, capture_env=False)
    for name in ("lost-1", "kept", "lost-2"):
        with run.rollout(step=1, session_id=name) as made:
            made.log_user("x")
            made.finish(outcome="good", metadata={"name": name})
    run.finish()
""")
        done = home.sync()
    assert done.code == 0, done.err
    assert not lacking
    with Held(house) as held:
        assert [held.trace(name)["outcome"] for name in ("lost-1", "kept", "lost-2")] == ["good"] * 3


@pytest.mark.parametrize("plain", [False, True])
def test_s3_a_rollout_s_own_record_that_is_damaged_costs_none_of_its_others(
    home: Home, house: House, plain: bool
) -> None:
    """So does one that no disk took, or that a copy does not have yet."""
    name = f"beheaded-{plain}"
    job = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], system_metrics=False, capture_env=False)
    for n in range(3):
        one = run.rollout(step=n, session_id=f"{sys.argv[1]}-{n}")
        if n != 1:
            one.log_user(f"said {n}")
        one.finish(outcome="good", metadata={"reward": n})
    run.finish()
    """
    with proxied(house.url, plain=plain) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        home.job(job, name)
        [path] = home.session().glob("*.jsonl")
        whole = path.read_bytes()
        assert whole.count(b'"type":"trace",') == 3
        path.write_bytes(whole.replace(b'"type":"trace",', b'"type":"trAce",'))
        home.sync("--api-base", proxy.url)
    assert home.status()["dead_letters"] == 0
    with Held(house) as held:
        assert [held.texts(f"{name}-{n}") for n in range(3)] == [["said 0"], [], ["said 2"]]
        found = [held.trace(f"{name}-{n}") for n in range(3)]
    assert [(one["outcome"], one["metadata"]["reward"]) for one in found] == [("good", n) for n in range(3)]
