"""Dead letters that are sent again: what was accepted is done with, whatever becomes of the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.service.support import Site
from tests.support.house import House
from tests.support.proxy import Fault, proxied, status
from tests.support.servers import Received, reply, serving
from tracehouse.spool.layout import segment_name

_TWO = 'cm.init(session_id="t1"); [cm.log_user(f"poison {word}") for word in sys.argv[1:]]; cm.finish()'


class _Picky:
    """A server of the base protocol that refuses what is poison, until it is told not to. ``taken``: of that, what it then took."""

    def __init__(self) -> None:
        self.picky = True
        self.taken: list[str] = []
        self.victim: subprocess.Popen[bytes] | None = None

    def __call__(self, connection: Any, request: Received) -> bool:
        if request.target == "/v1/capabilities":
            return reply(404)(connection, request)
        if b"poison" in request.body:
            if self.picky:
                return reply(422, b'{"detail":"no poison"}')(connection, request)
            if self.victim is not None and self.taken:
                self.victim.send_signal(signal.SIGKILL)
                return False
            self.taken += [span["attributes"]["text"] for span in json.loads(request.body)["spans"]]
        return reply(200, b'{"id":"x-1","ingested":1,"dropped":0}')(connection, request)


def _letters(site: Site) -> list[dict[str, Any]]:
    told = site.tracehouse("deadletters", "list", "--json").stdout.splitlines()
    return sorted(map(json.loads, told), key=lambda letter: (letter["epoch"], letter["seq"]))


def test_a1_a_dead_letter_that_was_accepted_is_not_sent_again_where_another_cannot_be_read(
    alone: Site, tmp_path: Path
) -> None:
    picky = _Picky()
    with serving(picky) as server:
        alone.environ.update(TRACEHOUSE_API_BASE=server.url)
        for word in "ab":
            alone.finished_job(_TWO, word)
        assert alone.tracehouse("sync", check=False).returncode == 1
        last = _letters(alone)[-1]
        os.link(Path(last["session"], segment_name(last["epoch"], last["n"])), tmp_path / "backup")
        picky.picky = False
        for said in ("1 accepted, 1 left", "0 accepted, 1 left"):
            done = alone.tracehouse("deadletters", "retry", check=False)
            assert said in done.stdout
            assert "2 links" in done.stderr
        assert len(picky.taken) == 1
        (tmp_path / "backup").unlink()
        assert "1 accepted, 0 left" in alone.tracehouse("deadletters", "retry").stdout
        assert sorted(picky.taken) == ["poison a", "poison b"]


def test_a1_a_dead_letter_that_was_accepted_is_not_sent_again_after_a_kill(alone: Site) -> None:
    picky = _Picky()
    with serving(picky) as server:
        alone.environ.update(TRACEHOUSE_API_BASE=server.url)
        alone.finished_job(_TWO, "a", "b")
        assert alone.tracehouse("sync", check=False).returncode == 1
        picky.picky = False
        words = [sys.executable, "-m", "tracehoused.cli", "deadletters", "retry"]
        picky.victim = subprocess.Popen(words, env=alone.environ)
        assert picky.victim.wait(60) == -signal.SIGKILL
        picky.victim = None
        assert "1 accepted, 0 left" in alone.tracehouse("deadletters", "retry").stdout
        assert sorted(picky.taken) == ["poison a", "poison b"]


def test_a_dead_letter_is_shown_by_its_name_alone(alone: Site) -> None:
    with serving(_Picky()) as server:
        alone.environ.update(TRACEHOUSE_API_BASE=server.url)
        alone.finished_job(_TWO, "a")
        assert alone.tracehouse("sync", check=False).returncode == 1
        [letter] = _letters(alone)
        shown = json.loads(alone.tracehouse("deadletters", "show", letter["record"]).stdout)
        assert shown["data"]["attributes"]["text"] == "poison a"
        assert "no dead letter" in alone.tracehouse("deadletters", "show", "0-1", check=False).stderr


def _parked_before(site: Site) -> None:
    """As if the server had failed at all that was refused, two days ago."""
    then = datetime.now(timezone.utc) - timedelta(days=2)
    for path in (*site.spool.glob("*/upload/*/deadletters.jsonl"), *site.state.glob("acks/*/*.deadletters.jsonl")):
        found = [json.loads(line) for line in path.read_text().splitlines() if line]
        told = [{**letter, "parked": True, "at": then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")} for letter in found]
        path.write_text("".join(json.dumps(letter) + "\n" for letter in told))


def test_a3_what_was_parked_is_tried_again_after_a_day_by_agents_of_which_none_runs_so_long(alone: Site) -> None:
    picky = _Picky()
    with serving(picky) as server:
        alone.environ.update(TRACEHOUSE_API_BASE=server.url)
        alone.finished_job(_TWO, "a")
        alone.tracehouse("sync", check=False)
        _parked_before(alone)
        alone.tracehoused("run-once")
        assert [letter["status"] for letter in _letters(alone)] == [422]
        picky.picky = False
        alone.tracehoused("run-once")
        assert not picky.taken
        _parked_before(alone)
        alone.tracehoused("run-once")
        assert (picky.taken, _letters(alone)) == (["poison a"], [])


def test_a2_a_session_whose_dead_letters_were_accepted_is_deleted_after_the_grace(alone: Site) -> None:
    picky = _Picky()
    with serving(picky) as server:
        alone.environ.update(TRACEHOUSE_API_BASE=server.url, TRACEHOUSE_RETENTION_GRACE="0")
        alone.finished_job(_TWO, "a")
        alone.tracehoused("run-once", check=False)
        picky.picky = False
        alone.tracehouse("deadletters", "retry")
        for _ in range(2):
            alone.tracehoused("run-once")
        assert not list(alone.spool.glob("trace-*/*.jsonl"))


_CHANGED = """
import json
run = cm.init_run(name="r", client_run_id="r1")
run.config.update(json.loads(sys.argv[1]))
run.finish()
cm.init(session_id="t1")
cm.finish(metadata=json.loads(sys.argv[2]), task_name=sys.argv[3])
"""


def test_a3_another_try_of_what_was_refused_undoes_nothing_that_was_accepted_since(site: Site, house: House) -> None:
    picky = True

    def rule(request: Received) -> Fault | None:
        return status(422) if picky and request.method == "PATCH" and b"odd" in request.body else None

    with proxied(house.url, rule) as proxy:
        site.environ.update(TRACEHOUSE_API_BASE=proxy.url)
        site.finished_job(_CHANGED, '{"lr": 1, "note": "odd"}', '{"reward": 1, "note": "odd"}', "odd")
        site.tracehouse("sync", check=False)
        picky = False
        site.finished_job(_CHANGED, '{"lr": 2}', '{"reward": 2}', "newer")
        site.tracehouse("sync", check=False)
        assert {letter["type"] for letter in _letters(site)} >= {"config_patch", "trace_patch"}
        assert ", 0 left" in site.tracehouse("deadletters", "retry").stdout
    with house.client() as client:
        [run] = client.get("/v1/runs").json()["runs"]
        [trace] = client.get("/v1/traces").json()["traces"]
        run, trace = client.get(f"/v1/runs/{run['id']}").json(), client.get(f"/v1/traces/{trace['id']}").json()
    assert run["config"] == {"lr": 2, "note": "odd"}
    assert (trace["metadata"], trace["task_name"]) == ({"reward": 2, "note": "odd"}, "newer")
