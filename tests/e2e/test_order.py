"""A13: what a server accepted last of a session, its creation or a change, is what it says; no repetition goes back behind it."""

from __future__ import annotations

import shutil
from typing import Any

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import proxied
from tracehoused.config import resolve
from tracehoused.upload.engine import Engine


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
