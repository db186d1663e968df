"""A13: what a server accepted last of a session, its creation or a change, is what it says; no repetition goes back behind it."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Fault, proxied, status
from tests.support.servers import Received
from tests.support.strace import failing
from tracehoused.config import resolve
from tracehoused.upload.engine import Engine

# a rollout that is made and patched, then one more once it is told to go on
_GROWING = """
    run = cm.init_run(client_run_id=sys.argv[1], capture_env=False, system_metrics=False)
    run.config["lr"] = 2
    def roll(n):
        with run.rollout(step=n, name="made", session_id=f"{sys.argv[1]}-{n}", model="m-made") as t:
            t.log_user("hi")
            t.finish(task_name="patched", model="m-patched")
        run.flush()
        print("there", flush=True)
    roll(0)
    sys.stdin.readline()
    run.finish() if len(sys.argv) > 2 else roll(1)
"""


def _failing(what: str) -> Any:
    """A 503 for this method and what its path has in it, until the list that it is asked from is emptied."""
    method, part = what.split()
    bad = [what]

    def rule(request: Received) -> Fault | None:
        return status(503) if bad and request.method == method and part in request.target else None

    rule.bad = bad  # type: ignore[attr-defined]
    return rule


def _pass(home: Home) -> bool:
    """Whether a pass of an agent that has just started left nothing of the one session."""
    engine = Engine(resolve({}, environ=home.environ), home.environ)
    try:
        return engine.drain(str(home.session())).outcome.complete
    finally:
        engine.close()


def _config(house: House, name: str) -> Any:
    with Held(house) as held, house.client() as client:
        return client.get(f"/v1/runs/{held.run(name)['id']}").json()["config"]


def _said(house: House, session_id: str) -> tuple[str, str]:
    with Held(house) as held:
        trace = held.trace(session_id)
    return trace["model"], trace["task_name"]


@pytest.mark.parametrize("plain", [False, True], ids=["keys", "plain"])
def test_a13_a_round_that_stays_incomplete_creates_nothing_again_over_patches(
    home: Home, house: House, plain: bool
) -> None:
    name = f"growing-{plain}"
    rule = _failing("PATCH /v1/runs/")
    with proxied(house.url, rule, plain=plain) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        job = home.start_job(_GROWING, name)
        assert job.stdout is not None
        assert job.stdin is not None
        assert job.stdout.readline() == "there\n"
        assert not _pass(home)
        assert _said(house, f"{name}-0") == ("m-patched", "patched")
        job.stdin.write("\n")
        job.stdin.flush()
        assert job.stdout.readline() == "there\n"
        job.communicate(timeout=60)
        rule.bad.clear()
        assert _pass(home)
    assert [_said(house, f"{name}-{n}") for n in (0, 1)] == [("m-patched", "patched")] * 2
    assert _config(house, name) == {"lr": 2}


def test_a13_at_a_server_without_keys_what_a_run_began_with_again_is_not_sent_again_over_its_changes(
    home: Home, house: House
) -> None:
    rule = _failing("POST /metrics")
    with proxied(house.url, plain=True) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        begun = """
    run = cm.init_run(client_run_id="resumed", config={"lr": 1}, capture_env=False, system_metrics=False)
    if len(sys.argv) > 1: run.config["lr"] = 2
    run.log({"a": 1})
    run.finish()
"""
        home.job(begun)
        assert _pass(home)
        home.job(begun, "again")
        proxy.rule = rule
        assert not _pass(home)
        assert _config(house, "resumed") == {"lr": 2}
        rule.bad.clear()
        assert _pass(home)
    assert _config(house, "resumed") == {"lr": 2}


def test_a13_what_begins_again_in_one_process_follows_what_was_changed_before(home: Home, house: House) -> None:
    home.job("""
    def lives(begin, ended):
        begin(ended).finish(model="m2", task_name="first")
        begin("m3")
    for lr in (1, 3):
        run = cm.init_run(client_run_id="twice", config={"lr": lr}, capture_env=False, system_metrics=False)
        if lr == 1: run.config["lr"] = 2
        lives(lambda model: run.rollout(step=lr, session_id=f"twice-{lr}", model=model, name=f"of {model}"), "m1")
        run.finish()
    lives(lambda model: cm.Run(session_id="twice-trace", model=model, task_name=f"of {model}"), "m1")
""")
    assert home.sync().code == 0
    assert _config(house, "twice") == {"lr": 3}
    assert [_said(house, f"twice-{name}") for name in (1, 3, "trace")] == [("m3", "of m3")] * 3


def test_a13_what_begins_again_waits_for_changes_that_the_server_does_not_take_now(home: Home, house: House) -> None:
    rule = _failing("PATCH /v1/runs/")
    with proxied(house.url, rule) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        for lr in ("1", "3"):
            home.job(
                """
    lr = int(sys.argv[1])
    run = cm.init_run(client_run_id="waits", config={"lr": lr}, capture_env=False, system_metrics=False)
    if lr == 1: run.config["lr"] = 2
    run.log({"a": lr})
    run.finish()
""",
                lr,
            )
        assert not _pass(home)
        rule.bad.clear()
        assert _pass(home)
    assert _config(house, "waits") == {"lr": 3}


def test_a13_a_trace_that_is_only_looked_for_keeps_its_changes(home: Home, house: House) -> None:
    with proxied(house.url, plain=True) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        home.job("""
    cm.Run(session_id="looked-for", model="m1", task_name="made").finish(model="m2", task_name="patched")
""")
        assert _pass(home)
        # as on another machine, which asks whose the server's id is
        shutil.rmtree(home.environ["TRACEHOUSE_STATE_DIR"])
        before = len(proxy.received)
        assert _pass(home)
        assert [one.target for one in proxy.received[before:] if one.method == "POST"] == ["/v1/traces"]
    assert _said(house, "looked-for") == ("m2", "patched")


def test_a13_a_change_that_is_made_a_second_time_is_made(home: Home, house: House) -> None:
    job = home.start_job("""
    run = cm.init_run(client_run_id="judged", capture_env=False, system_metrics=False)
    for outcome in ("good", "bad", "good"):
        run.rollout(step=0, session_id="judged-0").finish(outcome=outcome)
        run.flush()
        print(outcome, flush=True)
        sys.stdin.readline()
""")
    assert job.stdout is not None
    assert job.stdin is not None
    for outcome in ("good", "bad", "good"):
        assert job.stdout.readline() == f"{outcome}\n"
        assert _pass(home)
        with Held(house) as held:
            assert held.trace("judged-0")["outcome"] == outcome
        job.stdin.write("\n")
        job.stdin.flush()
    job.communicate(timeout=60)


_WRITER = """
    run = cm.init_run(client_run_id="shared", config={"lr": 1}, capture_env=False, system_metrics=False)
    first = int(sys.argv[1])
    run.log({"loss": 0}, step=first)
    run._session.log.close()  # as it is when a segment is full
    run.config["lr"] = first + 2
    run.log({"loss": 0}, step=first + 1)
    with run.rollout(step=first, name="made", session_id=f"shared-{first}") as t:
        t.log_user("hi")
    run.flush()
    print("there", flush=True)
    sys.stdin.readline()
    run.finish()
"""


@pytest.mark.parametrize("fault", ["linked", "failing"])
def test_a13_beside_a_segment_that_cannot_be_read_goes_out_what_has_no_order(
    home: Home, house: House, fault: str
) -> None:
    jobs = []
    for first in ("0", "10"):
        jobs.append(home.start_job(_WRITER.replace("shared", f"shared-{fault}"), first))
        assert jobs[-1].stdout is not None
        assert jobs[-1].stdout.readline() == "there\n"
    for job in jobs:
        job.communicate("\n", timeout=60)
    name = f"shared-{fault}"
    unread = next(
        path for path in home.session().glob("*-000001.jsonl") if b"shared-%b-0" % fault.encode() in path.read_bytes()
    )
    prefix: tuple[str, ...] = ()
    if fault == "linked":
        os.link(unread, home.directory / "second")
    else:
        prefix = (*failing("pread64", "EIO", "1+"), "-P", str(unread))
    for _ in range(2):
        done = home.run("sync", str(home.spool), prefix=prefix)
        assert done.code == 1
        assert ("2 links" if fault == "linked" else "Input/output error") in done.err
        with Held(house) as held:
            assert sorted(held.points(name)) == [("loss", 0), ("loss", 10), ("loss", 11)]
            assert not held.traces(name)
            assert held.run(name)["status"] == "running"
        assert _config(house, name) == {"lr": 1}
        assert "freed" not in home.run("prune", str(home.spool), "--older-than", "0", prefix=prefix).out
    (home.directory / "second").unlink(missing_ok=True)
    done = home.sync()
    assert (done.code, done.err) == (0, "")
    with Held(house) as held:
        assert sorted(held.points(name).items()) == [(("loss", step), 1) for step in (0, 1, 10, 11)]
        assert [held.texts(f"{name}-{first}") for first in (0, 10)] == [["hi"], ["hi"]]
        assert held.run(name)["status"] == "finished"
    assert _config(house, name) == {"lr": 12}
    assert home.run("verify", str(home.spool)).code == 0
