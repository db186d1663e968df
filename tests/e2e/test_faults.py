"""A1, A3, A4 over a network and before servers that misbehave: each record in the house once, whatever happened in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import segments
from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy, cut, held, lost, page, proxied, reset, status
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tracehouse.spool import layout
from tracehouse.spool.keys import save_key

RUN = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], name="r", system_metrics=False, capture_env=False)
    for step in range(20):
        run.log({"loss": 1 / (step + 1), "acc": step})
        if step % 5 == 0:
            run.log_image("grid", b"\\x89PNG\\r\\n\\x1a\\n" + bytes([step]) * 100, step=step)
            run.add_artifact(f"note-{step}", data={"step": step})
    with run.rollout(step=3, session_id=sys.argv[1] + "-roll") as t:
        for number in range(6):
            t.log_user(f"text {number}")
        t.finish(outcome="good")
    run.finish()
"""
SMALL = {"TRACEHOUSE_BATCH_POINTS": "8", "TRACEHOUSE_BATCH_SPANS": "3"}
TRACE = """
    run = cm.Run(session_id=sys.argv[1])
    for number in range(int(sys.argv[2])):
        run.log_user(f"text {number}")
    run.finish(outcome="good")
"""


def assert_all_of_run(house: House, name: str) -> None:
    """Everything that RUN logs is there, and nothing twice."""
    with Held(house) as held_there:
        points = held_there.points(name)
        assert set(points) == {(key, step) for key in ("loss", "acc") for step in range(20)}
        assert set(points.values()) == {1}
        assert held_there.media(name) == [("grid", step) for step in (0, 5, 10, 15)]
        assert held_there.artifacts(name) == sorted(f"note-{step}" for step in (0, 5, 10, 15))
        assert held_there.texts(f"{name}-roll") == [f"text {number}" for number in range(6)]
        assert held_there.trace(f"{name}-roll")["outcome"] == "good"
        assert held_there.run(name)["status"] == "finished"


def is_change(request: Received) -> bool:
    return request.method in ("POST", "PATCH")


def nth(number: int, fault: Fault, *, every: int = 0) -> object:
    """The fault for the n-th change that is asked for, and every so many after it."""
    count = 0

    def rule(request: Received) -> Fault | None:
        nonlocal count
        if not is_change(request):
            return None
        count += 1
        late = count - number
        return fault if late == 0 or (every and late > 0 and late % every == 0) else None

    return rule


FAULTS = {
    "lost": lost,
    "reset": reset,
    "cut-0": cut(0),
    "cut-in-head": cut(20),
    "cut-in-body": cut(150),
    "portal": page(),
    "503": status(503, b"busy", "Retry-After: 0"),
    "429": status(429, b"{}", "Retry-After: 0"),
    "500": status(500),
    "408": status(408),
    "in-flight": status(409, b'{"reason":"in_flight"}', "Retry-After: 0"),
    "empty-200": status(200, b""),
    "list-200": status(200, b"[]"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a1_whatever_happens_to_every_fourth_request_each_record_is_there_once(
    home: Home, house: House, name: str
) -> None:
    job = f"fault-{name}"
    home.job(RUN, job)
    with proxied(house.url, nth(2, FAULTS[name], every=4)) as proxy:
        for _ in range(12):
            done = home.sync("--api-base", proxy.url, **SMALL)
            if done.code == 0:
                break
        assert done.code == 0, done.err
    assert_all_of_run(house, job)


@pytest.mark.parametrize("name", ["lost", "reset", "cut-in-body", "500", "503"])
def test_a13_spans_keep_their_order_whatever_happens_to_every_fifth_request(
    home: Home, house: House, name: str
) -> None:
    job = f"order-{name}"
    home.job(TRACE, job, "60")
    with proxied(house.url, nth(3, FAULTS[name], every=5)) as proxy:
        for _ in range(20):
            done = home.sync("--api-base", proxy.url, **SMALL)
            if done.code == 0:
                break
        assert done.code == 0, done.err
    with Held(house) as held_there:
        assert held_there.texts(job) == [f"text {number}" for number in range(60)]


def test_a13_spans_that_reach_the_house_before_those_that_they_follow_wait_for_them(home: Home, house: House) -> None:
    home.job(TRACE, "overtaken", "30")
    second = threading.Event()

    def follower(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        connection.sendall(proxy.forward(request))
        second.set()
        return True

    def leader(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        assert second.wait(60), "the next request comes while this one is under way"
        connection.sendall(proxy.forward(request))
        return True

    def rule(request: Received) -> Fault | None:
        if request.target != "/v1/spans":
            return None
        return follower if "x-tracehouse-after" in request.headers else leader

    with proxied(house.url, rule) as proxy:
        assert home.sync("--api-base", proxy.url, **SMALL).code == 0
        sent = [(one.headers["idempotency-key"], one.body) for one in proxy.received if one.target == "/v1/spans"]
    assert len(sent) > len(set(sent)) == 10, "what came too early came again, the same"
    with Held(house) as held_there:
        assert held_there.texts("overtaken") == [f"text {number}" for number in range(30)]


@pytest.mark.parametrize("number", range(1, 16, 2))
def test_a1_killed_between_send_and_acknowledgement(home: Home, house: House, number: int) -> None:
    """The house has it, the agent does not know."""
    job = f"killed-{number}"
    home.job(RUN, job)
    never = threading.Event()
    answered = threading.Event()

    def rule(request: Received) -> Fault | None:
        fault = count(request)
        if fault is not None:
            answered.set()
        return fault

    count = nth(number, held(never, lost))
    with proxied(house.url, rule) as proxy:
        process = home.start("sync", str(home.spool), "--api-base", proxy.url, **SMALL)
        assert answered.wait(60)
        wait_until(lambda: sum(map(is_change, proxy.received)) >= number, what="the request")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        never.set()
        done = home.sync("--api-base", proxy.url, **SMALL)
        assert done.code == 0, done.err
    assert_all_of_run(house, job)


def test_a4_a_server_that_asks_for_an_hour_while_a_request_is_handled_holds_no_pass_up(
    home: Home, house: House
) -> None:
    home.job(RUN, "patient")
    busy = status(409, b'{"reason":"in_flight"}', "Retry-After: 3000")
    with proxied(house.url, nth(3, busy)) as proxy:
        assert home.sync("--api-base", proxy.url, **SMALL).code == 1
        assert home.sync("--api-base", proxy.url, **SMALL).code == 0
    assert_all_of_run(house, "patient")


def killing(agents: list[subprocess.Popen[str]]) -> Fault:
    """Applied, and the last agent dies before it hears of it."""

    def fault(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        proxy.forward(request)
        agents[-1].kill()
        return False

    return fault


def test_a1_a_repeated_batch_is_the_same_bytes_under_the_same_key(home: Home, house: House) -> None:
    """Also after a kill, and where the next agent would cut anew: no record is ever in batches of two keys."""
    home.job(RUN, "same")
    agents: list[subprocess.Popen[str]] = []
    with proxied(house.url) as proxy:
        for number in (2, 4):
            proxy.rule = nth(2 * number, killing(agents))
            sizes = {"TRACEHOUSE_BATCH_POINTS": str(4 + number), "TRACEHOUSE_BATCH_SPANS": str(1 + number)}
            agents.append(home.start("sync", str(home.spool), "--api-base", proxy.url, **sizes))
            agents[-1].communicate(timeout=60)
            assert agents[-1].returncode == -signal.SIGKILL
        proxy.rule = nth(3, lost, every=3)
        for _ in range(10):
            if home.sync("--api-base", proxy.url, **SMALL).code == 0:
                break
        sent = [one for one in proxy.received if "idempotency-key" in one.headers]
    pairs = {(one.headers["idempotency-key"], one.target.encode() + one.body) for one in sent}
    assert len(sent) > len(pairs), "nothing was repeated"
    assert len({key for key, _ in pairs}) == len({body for _, body in pairs}) == len(pairs)
    batches = [one for one in sent if "x-tracehouse-range" in one.headers]
    assert no_overlap({(one.target.partition("?")[0], one.headers["x-tracehouse-range"]) for one in batches})
    assert_all_of_run(house, "same")


def no_overlap(ranges: set[tuple[str, str]]) -> bool:
    """Of (endpoint, what X-Tracehouse-Range says), those of one segment."""
    found: dict[tuple[str, str], list[list[int]]] = {}
    for endpoint, text in ranges:
        segment, _, held = text.rpartition(":")
        found.setdefault((endpoint, segment), []).append([int(end) for end in held.split("-")])
    return all(one[1] < other[0] for of in map(sorted, found.values()) for one, other in zip(of, of[1:]))


def test_a1_at_a_server_without_keys_and_ranges_only_what_is_unknown_is_repeated(home: Home, house: House) -> None:
    """Requests that never arrived, or that were refused with a 503, are no duplicates."""
    home.job(RUN, "plain")
    for fault in (reset, status(503, b"", "Retry-After: 0")):
        with proxied(house.url, nth(3, fault, every=3), plain=True) as proxy:
            home.sync("--api-base", proxy.url, **SMALL)
    with proxied(house.url, plain=True) as proxy:
        # each proxy is a destination of its own: the last one has everything once more
        before = Held(house).points("plain")
        assert home.sync("--api-base", proxy.url, **SMALL).code == 0
    with Held(house) as there:
        after = there.points("plain")
    assert {after[key] - before[key] for key in after} == {1}
    assert max(before.values(), default=0) <= 2


def test_a1_at_a_server_without_keys_an_outage_in_the_middle_repeats_nothing(home: Home, house: House) -> None:
    home.job(RUN, "outage")
    down = False

    def rule(request: Received) -> Fault | None:
        nonlocal down
        down = down or sum(map(is_change, proxy.received)) == 7
        return reset if down else None

    with proxied(house.url, rule, plain=True) as proxy:
        assert home.sync("--api-base", proxy.url, **SMALL).code == 1
        proxy.rule = lambda request: None
        assert home.sync("--api-base", proxy.url, **SMALL).code == 0
    assert_all_of_run(house, "outage")


def refusing(word: bytes, fault: Fault) -> object:
    """The fault for whatever has that word in its body."""
    return lambda request: fault if word in request.body else None


def letters(home: Home) -> list[dict[str, object]]:
    found = [path.read_text().splitlines() for path in home.spool.glob("*/upload/*/deadletters.jsonl")]
    return [json.loads(line) for lines in found for line in lines if line]


def test_a3_a_refused_record_goes_to_the_dead_letters_and_the_others_arrive(home: Home, house: House) -> None:
    home.job(TRACE, "refused", "100")
    with proxied(house.url, refusing(b'"text 57"', status(400, b'{"error":"no such text"}'))) as proxy:
        done = home.sync("--api-base", proxy.url)
        assert done.code == 1
        assert "1 records refused" in done.err
        again = home.sync("--api-base", proxy.url)
        assert again.code == 1
    with Held(house) as there:
        assert there.texts("refused") == [f"text {n}" for n in range(100) if n != 57]
        assert there.trace("refused")["outcome"] == "good"
    [letter] = letters(home)
    assert (letter["type"], letter["status"], letter["parked"]) == ("span", 400, False)
    assert "no such text" in str(letter["reason"])
    assert home.run("status", str(home.spool), "--json", TRACEHOUSE_API_BASE=proxy.url).code == 0


def test_a2_refused_records_are_counted_from_the_dead_letters_which_outlive_the_sessions_upload_directory(
    house: House, tmp_path: Path
) -> None:
    fault = status(400, b'{"error":"no such text"}')
    with proxied(house.url, refusing(b'"text 3"', fault)) as proxy:
        home = Home(tmp_path, proxy.url).with_key(house.key)
        home.job(TRACE, "put-back", "5")
        assert home.sync().code == 1
        stale = shutil.copytree(home.session() / layout.UPLOAD, tmp_path / "stale")
        shutil.rmtree(home.session() / layout.UPLOAD)  # as rsync --delete from the job's machine does
        again = home.sync()
        assert again.code == 1
        assert "1 records refused" in again.err
        proxy.rule = lambda request: None
        assert home.run("deadletters", "retry", str(home.spool)).out.startswith("1 accepted, 0 left")
        assert home.status()["dead_letters"] == 0
        [journal] = stale.glob("*/journal.jsonl")
        now = home.session() / layout.UPLOAD / journal.parent.name
        now.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(
            journal, now / journal.name
        )  # of before the retry: what it says of how many there are counts no more
        assert home.status()["dead_letters"] == 0
        assert home.sync().code == 0
    with Held(house) as there:
        assert sorted(there.texts("put-back")) == [f"text {n}" for n in range(5)]


def sync_killed_at(home: Home, step: str, session: Path, *, after: bool = False) -> None:
    """`tracehouse sync` of a session, killed where it comes to a step first."""
    module, owner, name = step.split(".")
    code = f"""
import os
from tracehoused.cli.main import tracehouse
from tracehoused.upload.{module} import {owner}
made = {owner}.{name}
def killed(*arguments):
    made(*arguments) if {after} else None
    os._exit(9)
{owner}.{name} = killed
tracehouse()
"""
    command = [sys.executable, "-c", code, "sync", str(session)]
    assert subprocess.run(command, env=home.environ, timeout=60).returncode == 9


def test_a3_killed_before_it_settled_what_was_refused_and_is_taken_then_it_leaves_no_letter(
    house: House, tmp_path: Path
) -> None:
    with proxied(house.url, refusing(b'"text 3"', status(400))) as proxy:
        home = Home(tmp_path, proxy.url).with_key(house.key)
        home.job(TRACE, "settled-late", "5")
        sync_killed_at(home, "deadletter.DeadLetters.add", home.session(), after=True)
        assert len(letters(home)) == 1
        proxy.rule = lambda request: None
        done = home.sync()
        assert done.code == 0, done.err
    assert letters(home) == []
    with Held(house) as there:
        assert there.texts("settled-late") == [f"text {n}" for n in range(5)]


def two_segments(home: Home, house: House) -> Path:
    """A run whose writer left what the house refuses in its first segment, and its end in a second one."""
    of = segments.manifest(api_base=house.url)
    run = {"name": ["r"], "client_run_id": "r", "started_at": segments.AT}
    return segments.session(
        home.spool,
        of,
        [
            segments.line(1, "segment", segments.header(of)),
            segments.line(2, "run", run),
            segments.line(3, "run_patch", {"hf_model": [1]}),
            segments.line(4, "trace", {"session_id": ""}),
        ],
        [
            segments.line(5, "segment", segments.header(of, n=1)),
            segments.line(6, "metrics", segments.metrics(1)),
            segments.line(7, "close", {"at": segments.AT, "status": "finished"}),
        ],
    )


def test_a3_a_dead_letter_names_the_segment_of_its_record_also_where_a_round_ends_in_a_later_one(
    house: House, tmp_path: Path
) -> None:
    home = Home(tmp_path, house.url).with_key(house.key)
    session = two_segments(home, house)
    assert home.sync().code == 1
    assert {(one["seq"], one["n"]) for one in letters(home)} == {(2, 0), (3, 0), (4, 0)}
    for path in (*session.glob("upload/*/deadletters.jsonl"), *tmp_path.glob("state/acks/*/*.deadletters.jsonl")):
        path.write_text(path.read_text().replace('"n":0', '"n":1'))  # as earlier versions did
    exported = [json.loads(line) for line in home.run("deadletters", "export", str(home.spool)).out.splitlines()]
    assert [one["data"] for one in exported][1:] == [{"hf_model": [1]}, {"session_id": ""}]
    assert exported[0]["data"]["client_run_id"] == "r"
    assert home.run("deadletters", "retry", str(home.spool)).code == 1
    assert {(one["seq"], one["n"], one["status"]) for one in letters(home)} == {(seq, 0, 422) for seq in (2, 3, 4)}
    assert all("segment" not in str(one["reason"]) for one in letters(home))


def test_a3_several_refused_records_cost_themselves(home: Home, house: House) -> None:
    home.job(TRACE, "several", "40")
    bad = {0, 1, 17, 39}
    fault = status(422, b'{"error":"no"}')
    words = [f'"text {n}"'.encode() for n in bad]

    with proxied(house.url, lambda request: fault if any(w in request.body for w in words) else None) as proxy:
        assert home.sync("--api-base", proxy.url).code == 1
    with Held(house) as there:
        assert there.texts("several") == [f"text {n}" for n in range(40) if n not in bad]
    assert len(letters(home)) == len(bad)


def test_a3_a_record_that_makes_the_server_fail_for_ever_is_parked(home: Home, house: House) -> None:
    home.job(TRACE, "poison", "30")
    with proxied(house.url, refusing(b'"text 11"', status(500, b"oops"))) as proxy:
        for _ in range(6):
            done = home.sync("--api-base", proxy.url)
            if "refused" in done.err:
                break
    with Held(house) as there:
        assert there.texts("poison") == [f"text {n}" for n in range(30) if n != 11]
    [letter] = letters(home)
    assert letter["parked"] is True


def test_a3_nothing_is_parked_for_an_outage(home: Home, house: House) -> None:
    """A server that answers 500 to everything says nothing about a record."""
    home.job(TRACE, "outage-500", "1")
    down = False

    def rule(request: Received) -> Fault | None:
        return status(500) if down and is_change(request) else None

    with proxied(house.url, rule) as proxy:
        down = True
        for _ in range(4):
            assert home.sync("--api-base", proxy.url).code == 1
        down = False
        assert home.sync("--api-base", proxy.url).code == 0
    assert letters(home) == []
    with Held(house) as there:
        assert there.texts("outage-500") == ["text 0"]


def test_a3_a_last_word_that_is_refused_is_a_dead_letter_and_told_when_it_is_taken(
    house: House, tmp_path: Path
) -> None:
    with proxied(house.url, refusing(b'"status":"finished"', status(422, b'{"error":"no such status"}'))) as proxy:
        home = Home(tmp_path, proxy.url).with_key(house.key)
        home.job(RUN, "unheard")
        for _ in range(2):
            done = home.sync()
            assert (done.code, "1 records refused" in done.err) == (1, True), done.err
        assert sum(b'"status":"finished"' in request.body for request in proxy.received) == 1
        [letter] = letters(home)
        assert (letter["lane"], letter["type"], letter["status"]) == ("closing", "run_patch", 422)
        assert home.run("deadletters", "retry", str(home.spool)).code == 1
        proxy.rule = lambda request: None
        assert home.run("deadletters", "retry", str(home.spool)).code == 0
        assert home.sync().code == 0
    assert_all_of_run(house, "unheard")


def test_a3_a_run_whose_creation_is_refused_still_arrives(home: Home, house: House) -> None:
    script = RUN.replace('name="r"', 'name="r", config={"bad": "unacceptable"}')
    home.job(script, "no-config")
    with proxied(house.url, refusing(b"unacceptable", status(400, b'{"error":"config"}'))) as proxy:
        assert home.sync("--api-base", proxy.url).code == 1
    assert_all_of_run(house, "no-config")
    assert [letter["type"] for letter in letters(home)] == ["run"]


def test_a3_a_refused_rollout_costs_itself(home: Home, house: House) -> None:
    home.job(RUN, "no-roll")
    with proxied(house.url, refusing(b'"rollout_step"', status(400, b'{"error":"no rollouts"}'))) as proxy:
        done = home.sync("--api-base", proxy.url)
        assert done.code == 1, done.err
    with Held(house) as there:
        assert len(there.points("no-roll")) == 40
        assert there.run("no-roll")["status"] == "finished"
    assert {str(letter["type"]) for letter in letters(home)} >= {"trace", "span"}


def test_a13_a_failed_picture_holds_no_metrics_back(home: Home, house: House) -> None:
    home.job(RUN, "no-media")
    with proxied(house.url, lambda r: status(503, b"", "Retry-After: 0") if "/media?" in r.target else None) as proxy:
        assert home.sync("--api-base", proxy.url).code == 1
        with Held(house) as there:
            assert len(there.points("no-media")) == 40
            assert there.run("no-media")["status"] == "running", "the closing patch goes last"
        proxy.rule = lambda request: None
        assert home.sync("--api-base", proxy.url).code == 0
    assert_all_of_run(house, "no-media")


def test_a13_the_closing_patch_is_not_taken_for_sent(home: Home, house: House) -> None:
    home.job(RUN, "unclosed")
    with proxied(house.url, refusing(b'"status":"finished"', status(503, b"", "Retry-After: 0"))) as proxy:
        done = home.sync("--api-base", proxy.url)
        assert done.code == 1
        proxy.rule = lambda request: None
        assert home.sync("--api-base", proxy.url).code == 0
    assert_all_of_run(house, "unclosed")


@pytest.fixture
def own_house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "own" / "data") as running:
        yield running


def wiped(house: House) -> None:
    key = house.key
    house.stop()
    for path in house.data.iterdir():
        if path.name != "house.key":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    house.start()
    assert house.key == key


@pytest.fixture
def _data_dir(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()


@pytest.mark.usefixtures("_data_dir")
class TestForgetting:
    def test_a4_a_wiped_house_gets_everything_again_once(self, own_house: House, tmp_path: Path) -> None:
        home = Home(tmp_path, own_house.url).with_key(own_house.key)
        process = home.start_job(
            RUN.replace("run.finish()", "print('half', flush=True); input(); run.log({'late': 1}); run.finish()"),
            "wiped",
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert home.sync().code == 0
        wiped(own_house)
        process.communicate("\n", timeout=60)
        done = home.sync()
        assert done.code == 0, done.err
        with Held(own_house) as there:
            points = there.points("wiped")
            assert len(points) == 41
            assert set(points.values()) == {1}
            assert len(there.media("wiped")) == 4
            assert len(there.texts("wiped-roll")) == 6
            assert there.run("wiped")["status"] == "finished"

    def test_a4_what_a_wiped_house_had_refused_and_takes_now_is_no_dead_letter_any_more(
        self, own_house: House, tmp_path: Path
    ) -> None:
        with proxied(own_house.url, refusing(b'"text 3"', status(400))) as proxy:
            home = Home(tmp_path, proxy.url).with_key(own_house.key)
            home.job(TRACE, "taken", "5")
            assert home.sync().code == 1
            wiped(own_house)
            proxy.rule = lambda request: None
            home.job("cm.init(session_id='taken').log_user('text 5')")
            done = home.sync()
            assert done.code == 0, done.err
        with Held(own_house) as there:
            assert there.texts("taken") == [f"text {n}" for n in range(6)]

    def test_a2_killed_at_any_step_of_starting_again_no_letter_outlives_what_it_tells_of_and_nothing_is_lost(
        self, own_house: House, tmp_path: Path
    ) -> None:
        steps = ("checkpoint.Checkpoint.reset", "checkpoint.Checkpoint.save_copy", "deadletter.DeadLetters.keep_only")
        with proxied(own_house.url, refusing(b'"text 3"', status(400))) as proxy:
            home = Home(tmp_path, proxy.url).with_key(own_house.key)
            for number in range(len(steps)):
                home.job(TRACE, f"step-{number}", "5")
            assert home.sync().code == 1
            wiped(own_house)
            proxy.rule = lambda request: None
            for number, step in enumerate(steps):
                home.job(f"cm.init(session_id='step-{number}').log_user('text 5')")
                [session] = home.spool.glob(f"trace-step-{number}-*")
                sync_killed_at(home, step, session)
            done = home.sync()
            assert done.code == 0, done.err
        with Held(own_house) as there:
            for number in range(len(steps)):
                assert there.texts(f"step-{number}") == [f"text {n}" for n in range(6)]

    def test_a4_what_was_deleted_there_stops_until_it_is_brought_back(self, own_house: House, tmp_path: Path) -> None:
        home = Home(tmp_path, own_house.url).with_key(own_house.key)
        process = home.start_job(
            TRACE.replace("run.finish", "print('half', flush=True); input(); run.log_user('late'); run.finish"),
            "gone",
            "3",
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert home.sync().code == 0
        with Held(own_house) as there, own_house.client() as client:
            gone = there.trace("gone")["id"]
            assert client.delete(f"/v1/traces/{gone}").status_code == 200
        process.communicate("\n", timeout=60)
        done = home.sync()
        assert done.code == 1
        assert "deleted" in done.err
        with Held(own_house) as there:
            assert there.traces("gone") == []
        assert "deleted" in home.sync().err
        with httpx.Client(base_url=own_house.url, headers={"Origin": own_house.url}) as browser:
            assert browser.post("/signin", data={"key": own_house.key}).is_success
            assert browser.post("/restore", data={"kind": "trace", "id": gone}).status_code == 303
        assert home.sync().code == 0, "it was brought back there"
        with Held(own_house) as there:
            assert there.texts("gone") == ["text 0", "text 1", "text 2", "late"]

    def test_a4_a_deleted_rollout_stops_no_run(self, own_house: House, tmp_path: Path) -> None:
        home = Home(tmp_path, own_house.url).with_key(own_house.key)
        script = """
            run = cm.TrainingRun(client_run_id="kept", system_metrics=False, capture_env=False)
            first = run.rollout(step=0, session_id="gone-roll")
            first.log_user("early")
            print("half", flush=True); input()
            first.log_user("late")
            first.finish(outcome="bad")
            run.log({"loss": 1})
            run.finish()
        """
        process = home.start_job(script)
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert home.sync().code == 0
        with Held(own_house) as there, own_house.client() as client:
            assert client.delete(f"/v1/traces/{there.trace('gone-roll')['id']}").status_code == 200
        process.communicate("\n", timeout=60)
        done = home.sync()
        assert done.code == 1, done.out
        with Held(own_house) as there:
            assert there.points("kept") == {("loss", 0): 1}
            assert there.run("kept")["status"] == "finished"


@pytest.mark.parametrize("code", [401, 403])
def test_a4_a_key_that_is_not_taken_pauses_and_keeps_everything(home: Home, house: House, code: int) -> None:
    home.job(RUN, f"paused-{code}")
    with proxied(house.url, lambda request: status(code, b'{"error":"who are you"}')) as proxy:
        done = home.sync("--api-base", proxy.url)
        assert done.code == 1
        assert "who are you" in done.err
        proxy.rule = lambda request: None
        assert home.sync("--api-base", proxy.url).code == 0
    assert letters(home) == []
    assert_all_of_run(house, f"paused-{code}")


_LEFT_OUT = "numbers were left out: NaN, infinities, metrics without a name, or what else the server dropped"


def test_numbers_without_a_name_and_those_that_a_server_dropped_are_counted(home: Home, house: House) -> None:
    home.job(
        "run = cm.TrainingRun(client_run_id='nameless', system_metrics=False, capture_env=False)\n"
        "run.log({'': 1.5, 'a': 1, 'b': 2})\n"
        "run.finish()"
    )

    def rule(request: Received) -> Fault | None:
        return status(200, b'{"ingested":0,"dropped":2}') if request.target.endswith("/metrics") else None

    with proxied(house.url, rule) as proxy:
        done = home.sync("--api-base", proxy.url)
    assert done.code == 0, done.err
    assert done.err == f"3 {_LEFT_OUT}\n"


def test_what_a_server_does_not_take_of_numbers_is_counted(home: Home, house: House) -> None:
    home.job(
        "run = cm.TrainingRun(client_run_id='omits', system_metrics=False, capture_env=False)\n"
        "for step in range(9): run.log({'loss': float('nan') if step % 3 else 1.5, 'lr': float('inf'), 'n': step})\n"
        "run.log({'only': float('-inf')})\n"
        "run.finish()"
    )
    with proxied(house.url, plain=True) as proxy:
        done = home.sync("--api-base", proxy.url, TRACEHOUSE_BATCH_POINTS="4")
        assert done.code == 0, done.err
        assert done.err == f"16 {_LEFT_OUT}\n"
        assert home.sync("--api-base", proxy.url).err == ""
        told = home.run("status", str(home.spool), "--api-base", proxy.url, "--json").json["sessions"]
        assert [one["omitted"] for one in told] == [16]
    with Held(house) as there:
        assert there.values("omits", "n") == list(range(9))
        assert there.values("omits", "loss") == [1.5] * 3


def test_a4_a_key_that_is_not_taken_stops_no_session_with_another(home: Home, house: House) -> None:
    """More sessions than a breaker needs, before those of the other key; by sync, and then by the agent."""
    config = home.environ["TRACEHOUSE_CONFIG_DIR"]
    good = home.environ.pop("TRACEHOUSE_API_KEY")

    def rule(request: Received) -> Fault | None:
        is_bad = request.headers.get("authorization") == "Bearer ba_bad"
        return status(401, b'{"error":"who are you"}') if is_bad else None

    with proxied(house.url, rule) as proxy:
        save_key("ba_bad", proxy.url, "bad", source="login", config_dir=config)
        save_key(good, proxy.url, "good", source="login", config_dir=config)
        script = """
            for name in sys.argv[1:]:
                with cm.Run(session_id=name) as run:
                    run.log_user("text 0")
        """
        home.job(
            script,
            *(f"a-bad-{number}" for number in range(9)),
            TRACEHOUSE_API_KEY="ba_bad",
            TRACEHOUSE_API_BASE=proxy.url,
        )
        home.job(script, "b-good-1", "b-good-2", TRACEHOUSE_API_KEY=good, TRACEHOUSE_API_BASE=proxy.url)
        done = home.sync("--jobs", "1", "--json")
        assert done.code == 1
        assert sorted(one["id"] for one in done.json["left"]) == [f"a-bad-{number}" for number in range(9)]
        asked = [
            one for one in proxy.received if one.headers.get("authorization") == "Bearer ba_bad" and is_change(one)
        ]
        assert len(asked) < 9, "the key is left alone after some"
        agent = home.start_agent(TRACEHOUSE_JOBS="1")
        try:
            home.job(script, "c-good-3", TRACEHOUSE_API_KEY=good, TRACEHOUSE_API_BASE=proxy.url)
            with Held(house) as there:
                wait_until(lambda: there.traces("c-good-3"), what="the agent goes on with the other key")
        finally:
            agent.kill()
            agent.wait()
    with Held(house) as there:
        assert [there.texts(name) for name in ("b-good-1", "b-good-2")] == [["text 0"]] * 2
        assert there.traces("a-bad") == []


def test_a4_a_redirect_is_an_error_and_is_never_followed(home: Home, house: House) -> None:
    home.job(TRACE, "moved", "1")
    with proxied(house.url, lambda request: status(307, b"", f"Location: {house.url}{request.target}")) as proxy:
        done = home.sync("--api-base", proxy.url)
    assert done.code == 1
    assert "redirected" in done.err
    with Held(house) as there:
        assert there.traces("moved") == []


def test_a5_a_rotated_key_keeps_the_journal(home: Home, house: House) -> None:
    home.job(RUN, "rotated")
    api_key = home.environ.pop("TRACEHOUSE_API_KEY")
    swapped = {"ba_old": api_key, "ba_new": api_key}
    config = home.environ["TRACEHOUSE_CONFIG_DIR"]

    def rule(request: Received) -> Fault | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        request.headers["authorization"] = f"Bearer {swapped.get(bearer, bearer)}"
        return None

    with proxied(house.url, rule) as proxy:
        save_key("ba_old", proxy.url, "default", source="login", config_dir=config)
        assert home.sync("--api-base", proxy.url).code == 0
        save_key("ba_new", proxy.url, "default", source="login", config_dir=config)
        before = len(proxy.received)
        assert home.sync("--api-base", proxy.url).code == 0
        assert not [request for request in proxy.received[before:] if is_change(request)]


def test_a5_a_key_that_gets_a_name_keeps_what_was_acknowledged_before(home: Home, house: House) -> None:
    """A key of the environment acknowledges as key-<fingerprint>; after a login with it, as the profile's name."""
    home.job(RUN, "renamed")
    with proxied(house.url) as proxy:
        assert home.sync("--api-base", proxy.url).code == 0
        config = home.environ["TRACEHOUSE_CONFIG_DIR"]
        api_key = home.environ.pop("TRACEHOUSE_API_KEY")
        save_key(api_key, proxy.url, None, config_dir=config)
        save_key(api_key, proxy.url, "default", source="login", config_dir=config)
        before = len(proxy.received)
        assert home.sync("--api-base", proxy.url).code == 0
        assert not [request for request in proxy.received[before:] if is_change(request)]
    assert_all_of_run(house, "renamed")


def test_a5_a_login_with_the_key_of_the_environment_keeps_what_was_acknowledged_before(
    home: Home, house: House
) -> None:
    home.job(RUN, "named")
    with proxied(house.url) as proxy:
        assert home.sync("--api-base", proxy.url).code == 0
        api_key = home.environ.pop("TRACEHOUSE_API_KEY")
        save_key(api_key, proxy.url, "default", source="login", config_dir=home.environ["TRACEHOUSE_CONFIG_DIR"])
        before = len(proxy.received)
        done = home.sync("--api-base", proxy.url)
        assert done.code == 0, done.err
        assert not [request for request in proxy.received[before:] if is_change(request)]
    assert_all_of_run(house, "named")


def copied(source: Path, target: Path, *options: str) -> None:
    subprocess.run(["rsync", "-a", *options, f"{source}/", f"{target}/"], check=True)


@pytest.mark.parametrize("options", [(), ("--delete",)], ids=["over", "mirrored"])
def test_s1_a_spool_copied_while_it_grows_is_synced_there_and_never_twice(
    home: Home, house: House, tmp_path: Path, options: tuple[str, ...]
) -> None:
    if shutil.which("rsync") is None:
        pytest.skip("[rsync] needs rsync")
    name = f"copied-{len(options)}"
    script = RUN.replace(
        "for step in range(20):",
        "for step in range(20):\n        if step in (7, 13): print('part', flush=True); input()",
    )
    (tmp_path / "there").mkdir()
    there = Home(tmp_path / "there", house.url).with_key(house.key)
    process = home.start_job(script, name)
    assert process.stdout is not None
    assert process.stdin is not None
    with proxied(house.url, plain=True) as proxy:
        for _ in range(2):
            assert process.stdout.readline() == "part\n"
            copied(home.spool, there.spool, *options)
            there.sync("--api-base", proxy.url, **SMALL)
            process.stdin.write("\n")
            process.stdin.flush()
        process.communicate(timeout=60)
        copied(home.spool, there.spool, *options)
        done = there.sync("--api-base", proxy.url, **SMALL)
        assert done.code == 0, done.err
    assert_all_of_run(house, name)


def test_s1_media_that_a_copy_of_a_growing_spool_lacks_come_with_the_next_copy(
    home: Home, house: House, tmp_path: Path
) -> None:
    """What copies a spool may have listed its files before this one was made, and read its segments after."""
    script = RUN.replace(
        "for step in range(20):",
        "for step in range(20):\n        if step == 7: print('part', flush=True); input()",
    )
    (tmp_path / "there").mkdir()
    there = Home(tmp_path / "there", house.url).with_key(house.key)
    process = home.start_job(script, "lacking")
    assert process.stdout is not None
    assert process.stdout.readline() == "part\n"
    shutil.copytree(home.spool, there.spool)
    shutil.rmtree(there.session() / "media")
    done = there.sync()
    assert done.code == 1
    assert "media file missing" in done.err
    assert letters(there) == []
    process.communicate("\n", timeout=60)
    shutil.copytree(home.spool, there.spool, dirs_exist_ok=True)
    done = there.sync()
    assert done.code == 0, done.err
    assert_all_of_run(house, "lacking")


def test_s1_both_copies_synced_to_one_house_leave_each_record_once(home: Home, house: House, tmp_path: Path) -> None:
    home.job(RUN, "both")
    (tmp_path / "there").mkdir()
    there = Home(tmp_path / "there", house.url).with_key(house.key)
    shutil.copytree(home.spool, there.spool)
    commands = [
        place.start("sync", str(place.spool), TRACEHOUSE_BATCH_POINTS=points)
        for place, points in ((home, "6"), (there, "10"))
    ]
    ends = [process.communicate(timeout=60) and process.returncode for process in commands]
    assert ends == [0, 0]
    assert_all_of_run(house, "both")


def test_s1_a_copy_cut_off_inside_a_batch_loses_nothing_when_the_rest_comes(
    home: Home, house: House, tmp_path: Path
) -> None:
    """The journal was copied after a batch was noted in it, the segment before its records were written."""
    home.job(RUN, "behind")
    never = threading.Event()
    with proxied(house.url, nth(3, held(never, reset))) as proxy:
        process = home.start("sync", str(home.spool), "--api-base", proxy.url, **SMALL)
        wait_until(lambda: sum(map(is_change, proxy.received)) >= 3, what="a batch under way")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        never.set()
        (tmp_path / "there").mkdir()
        there = Home(tmp_path / "there", house.url).with_key(house.key)
        shutil.copytree(home.spool, there.spool)
        [whole] = home.session().glob("*.jsonl")
        [part] = there.session().glob("*.jsonl")
        os.truncate(part, part.stat().st_size // 3)
        there.sync("--api-base", proxy.url, **SMALL)
        shutil.copyfile(whole, part)
        done = there.sync("--api-base", proxy.url, **SMALL)
        assert done.code == 0, done.err
    assert_all_of_run(house, "behind")
