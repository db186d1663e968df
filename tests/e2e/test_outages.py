"""When a server is left alone, and when it is believed to be back."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Fault, proxied, reset, status
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tracehoused.config import resolve
from tracehoused.letters import letters_of, retry
from tracehoused.options import Options
from tracehoused.upload.engine import Engine

TRACE = """
    cm.init(session_id=sys.argv[1])
    cm.log_user("hi")
    cm.finish()
"""


def test_a5_a_pass_with_nothing_to_ask_tells_nothing_of_a_server_that_was_left_alone(home: Home, house: House) -> None:
    busy = status(429, b"{}", "Retry-After: 1")
    with proxied(house.url) as proxy:
        engine = Engine(resolve({}, environ=home.environ), home.environ, Options(api_base=proxy.url))
        home.job(TRACE, "settled")
        settled = str(home.session())
        assert engine.drain(settled).outcome.complete
        home.job(TRACE, "waiting")
        [waiting] = {str(path) for path in home.sessions()} - {settled}
        proxy.rule = lambda request: busy
        assert engine.drain(waiting).outcome.scope == "destination"
        wait_until(lambda: engine.drain(settled).outcome.complete, what="the end of the wait that it asked for")
        proxy.rule = lambda request: reset
        asked = len(proxy.received)
        assert engine.drain(waiting).outcome.scope == "destination"
        assert len(proxy.received) > asked
        asked = len(proxy.received)
        assert engine.drain(waiting).outcome.scope == "destination"
        assert len(proxy.received) == asked, "one probe was answered with trouble: no other is due yet"
        engine.close()


def test_a10_what_a_server_answers_one_session_is_not_logged_for_each_that_waits(home: Home, house: House) -> None:
    busy = status(429, b"{}", "Retry-After: 60")
    with proxied(house.url, lambda request: busy if request.method == "POST" else None) as proxy:
        home.environ.update(TRACEHOUSE_API_BASE=proxy.url, TRACEHOUSE_JOBS="1")
        home.job('for n in range(9): cm.init(session_id=f"busy-{n}"); cm.log_user("x"); cm.finish()')
        told = home.run_once().err
        left = home.sync("--json").json["left"]
    assert told.count("not uploaded") == 1, told
    assert len(left) == 9
    assert all("429" in one["reason"] for one in left)


def test_a4_a_line_on_which_some_of_it_gets_through_is_no_server_that_is_away(home: Home, house: House) -> None:
    home.job('cm.init(session_id="bad-line"); [cm.log_user(f"text {n}") for n in range(200)]; cm.finish()')
    session, left = str(home.session()), 0

    def rule(request: Received) -> Fault | None:
        nonlocal left
        left -= 1
        return None if left >= 0 else reset

    with proxied(house.url, rule) as proxy:
        small = {**home.environ, "TRACEHOUSE_BATCH_SPANS": "5"}
        engine = Engine(resolve({}, environ=small), small, Options(api_base=proxy.url))
        for _ in range(10):
            left, asked = 4, len(proxy.received)
            assert engine.drain(session).outcome.scope == "destination"
            assert len(proxy.received) > asked + 1, "the server took something in each pass before"
        proxy.rule = lambda request: None
        assert engine.drain(session).outcome.complete
        engine.close()


@pytest.mark.parametrize("asked", ["PATCH /v1/runs/", "POST /v1/traces"])
def test_a4_a_404_from_a_server_that_has_the_run_sends_nothing_of_it_again(
    home: Home, house: House, asked: str
) -> None:
    points: Counter[tuple[int, float]] = Counter()
    method, path = asked.split()
    is_deployed = False

    def rule(request: Received) -> Fault | None:
        nonlocal is_deployed
        if request.target.endswith("/metrics"):
            points.update((point["step"], point["value"]) for point in json.loads(request.body)["points"])
        if is_deployed or sum(points.values()) < 3 or request.method != method or not request.target.startswith(path):
            return None
        is_deployed = True
        return status(404, b"no such route")

    with proxied(house.url, rule, plain=True) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        job = home.start_job(
            """
    run = cm.init_run(client_run_id=sys.argv[1], capture_env=False, system_metrics=False)
    for n in range(3): run.log({"a": n})
    run.flush()
    print("there", flush=True)
    sys.stdin.readline()
    run.rollout(step=0, session_id=f"{sys.argv[1]}-0").finish(outcome="good")
    run.finish()
""",
            method,
        )
        assert job.stdout is not None
        assert job.stdout.readline() == "there\n"
        home.sync()
        job.communicate("\n", timeout=60)
        assert home.sync().code == 0
    assert is_deployed
    assert set(points.values()) == {1}
    with Held(house) as held:
        assert held.run(method)["status"] == "finished"
        assert held.trace(f"{method}-0")["outcome"] == "good"


@pytest.mark.parametrize("what", ["picture", "span"])
def test_a3_what_no_connection_carries_holds_nothing_else_back(home: Home, house: House, what: str) -> None:
    home.job(
        """
    run = cm.init_run(client_run_id=sys.argv[1], capture_env=False, system_metrics=False)
    run.log({"a": 0})
    if sys.argv[1] == "picture":
        run.log_image("pic", b"NOT CARRIED", format="png")
    with run.rollout(step=0, session_id=f"{sys.argv[1]}-0") as t:
        for text in ("one", sys.argv[1] == "span" and "NOT CARRIED" or "two", "three"): t.log_user(text)
    run.log({"a": 1})
    run.finish()
""",
        what,
    )
    session = str(home.session())
    with proxied(house.url, lambda request: reset if b"NOT CARRIED" in request.body else None) as proxy:
        engine = Engine(resolve({}, environ=home.environ), home.environ, Options(api_base=proxy.url))
        assert not engine.drain(session).outcome.complete
        with Held(house) as held:
            assert len(held.points(what)) == 2
        reports = [engine.drain(session) for _ in range(4)]
        assert (reports[-1].outcome.complete, reports[-1].dead) == (True, 1)
        [letter] = letters_of(engine, session)
        assert letter.parked
        proxy.rule = lambda request: None
        assert retry(engine, session, lambda letter: True).left == 0
        engine.close()
    with Held(house) as held:
        assert held.run(what)["status"] == "finished"
        assert len(held.texts(f"{what}-0")) == 3


_TAKEN = """
    run = cm.init_run(client_run_id=sys.argv[1], capture_env=False, system_metrics=False)
    for n in range(3): run.log({"a": n})
    run.config["lr"] = 1
    with run.rollout(step=0, session_id=f"{sys.argv[1]}-0") as t: [t.log_user(text) for text in ("one", "two")]
    run.finish()
"""


@pytest.mark.parametrize("route", ["/metrics", "/v1/spans", "PATCH"])
def test_a3_what_something_in_between_says_is_not_there_waits_until_it_is(home: Home, house: House, route: str) -> None:
    name = "astray" + route.replace("/", "-")
    home.job(_TAKEN, name)
    session, lost = str(home.session()), status(404, b"<html>no such page</html>")

    def rule(request: Received) -> Fault | None:
        return lost if request.target.endswith(route) or request.method == route else None

    with proxied(house.url, rule, plain=True) as proxy:
        engine = Engine(resolve({}, environ=home.environ), home.environ, Options(api_base=proxy.url))
        reports = [engine.drain(session) for _ in range(3)]
        assert not any(one.outcome.complete or one.dead for one in reports)
        assert "404" in reports[-1].outcome.trouble
        proxy.rule = lambda request: None
        assert engine.drain(session).outcome.complete
        engine.close()
    with Held(house) as held:
        assert (len(held.points(name)), held.texts(f"{name}-0")) == (3, ["one", "two"])
        assert (held.run(name)["config"], held.run(name)["status"]) == ({"lr": 1}, "finished")


def test_a3_records_for_which_a_server_has_no_route_are_parked(home: Home, house: House) -> None:
    home.job(_TAKEN, "no-route")
    session = str(home.session())
    lost = status(404)
    with proxied(house.url, lambda request: lost if request.target.endswith("/metrics") else None) as proxy:
        engine = Engine(resolve({}, environ=home.environ), home.environ, Options(api_base=proxy.url))
        reports = [engine.drain(session) for _ in range(5)]
        assert (reports[-1].outcome.complete, reports[-1].dead) == (True, 3)
        assert all(letter.parked for letter in letters_of(engine, session))
        proxy.rule = lambda request: None
        assert retry(engine, session, lambda letter: True).left == 0
        engine.close()
    with Held(house) as held:
        assert len(held.points("no-route")) == 3


def test_a3_a_change_that_no_connection_carries_holds_nothing_else_back(home: Home, house: House) -> None:
    home.job("""
    run = cm.init_run(client_run_id="changed", capture_env=False, system_metrics=False)
    for n, text in enumerate(("one", "NOT CARRIED", "three")):
        run.rollout(step=n, session_id=f"changed-{n}").finish(outcome="bad", metadata={"error": text})
    run.config["note"] = "NOT CARRIED"
    run.finish()
""")
    session = str(home.session())
    with proxied(house.url, lambda request: reset if b"NOT CARRIED" in request.body else None) as proxy:
        engine = Engine(resolve({}, environ=home.environ), home.environ, Options(api_base=proxy.url))
        assert {engine.drain(session).outcome.scope for _ in range(6)} == {"session"}
        with Held(house) as held:
            assert [held.trace(f"changed-{n}")["outcome"] for n in range(3)] == ["bad", None, "bad"]
        proxy.rule = lambda request: None
        assert engine.drain(session).outcome.complete
        engine.close()
    with Held(house) as held:
        assert held.trace("changed-1")["outcome"] == "bad"
        assert held.run("changed")["status"] == "finished"


def test_a4_an_overlap_with_nothing_that_was_sent_is_asked_about_again_later(home: Home, house: House) -> None:
    home.job("""
    run = cm.init_run(client_run_id="elsewhere", capture_env=False, system_metrics=False)
    for n in range(9): run.log({"a": n})
    run.add_artifact("notes", data="text", kind="text")
    run.finish()
""")
    session, other = str(home.session()), status(409, b'{"reason": "overlap", "have": [[500, 600]]}')
    with proxied(house.url, lambda request: other if request.target.endswith("/metrics") else None) as proxy:
        engine = Engine(resolve({}, environ=home.environ), home.environ, Options(api_base=proxy.url))
        assert not engine.drain(session).outcome.complete
        assert sum(request.target.endswith("/metrics") for request in proxy.received) == 1
        proxy.rule = lambda request: None
        assert engine.drain(session).outcome.complete
        engine.close()
    with Held(house) as held:
        assert (len(held.points("elsewhere")), held.artifacts("elsewhere")) == (9, ["notes"])
