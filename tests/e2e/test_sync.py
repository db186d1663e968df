"""`tracehouse sync` as its users run it: exit codes, options, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.proxy import Proxy, page, proxied
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tracehouse.spool import layout
from tracehouse.spool.keys import save_key

TRACE = """
    run = cm.Run(session_id=sys.argv[1], project="p", task_name="a task")
    for number in range(int(sys.argv[2])):
        run.log_user(f"text {number}")
    run.finish(outcome="good", metadata={"n": 1})
"""
RUN = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], name="r", config={"lr": 1e-3}, system_metrics=False, capture_env=False)
    for step in range(int(sys.argv[2])):
        run.log({"loss": 1 / (step + 1), "acc": step})
        if step % 4 == 0:
            run.log_image("grid", b"\\x89PNG\\r\\n\\x1a\\n" + bytes([step]) * 100, step=step)
    run.finish()
"""


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def test_everything_arrives_once_and_sync_exits_0(home: Home, house: House) -> None:
    home.job(TRACE, "all-t", "30")
    home.job(RUN, "all-r", "12")
    done = home.sync()
    assert done.code == 0, done.err
    assert "2 of 2 sessions uploaded" in done.out
    with Held(house) as held:
        assert held.texts("all-t") == texts(30)
        assert held.trace("all-t")["outcome"] == "good"
        assert set(held.points("all-r").values()) == {1}
        assert len(held.points("all-r")) == 24
        assert held.media("all-r") == [("grid", 0), ("grid", 4), ("grid", 8)]
        assert held.run("all-r")["status"] == "finished"


def test_a_second_sync_sends_nothing(home: Home, house: House) -> None:
    home.job(RUN, "again", "5")
    with proxied(house.url) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = proxy.url
        assert home.sync("--api-base", proxy.url).code == 0
        before = len(proxy.received)
        assert home.sync("--api-base", proxy.url).code == 0
        assert [request.method for request in proxy.received[before:] if request.method != "GET"] == []


def test_an_empty_spool_is_done(home: Home) -> None:
    home.spool.mkdir()
    assert home.sync().code == 0
    assert home.sync("--dry-run").out == "nothing to upload\n"


def test_a_spool_that_is_not_there_is_a_usage_error(home: Home) -> None:
    done = home.run("sync", str(home.directory / "nowhere"))
    assert done.code == 2
    assert "nowhere" in done.err


def test_a_profile_or_option_that_makes_no_sense_is_told(home: Home) -> None:
    home.job(TRACE, "nonsense", "1")
    assert home.sync("--jobs", "0").code == 2
    assert home.sync("--no-such-option").code == 2
    wrong = home.sync("--api-base", "tracehouse.example")
    assert wrong.code == 2
    assert "https://tracehouse.example" in wrong.err
    done = home.sync("--profile", "nobody")
    assert done.code == 1
    assert "nobody" in done.err


def test_a_dry_run_tells_what_would_go_and_sends_nothing(home: Home, house: House) -> None:
    home.job(TRACE, "dry", "3")
    done = home.sync("--dry-run")
    assert done.code == 0
    assert "trace dry: 7 of 7 records to upload" in done.out, done.out
    [told] = home.sync("--dry-run", "--json").json["sessions"]
    assert (told["id"], told["records"], told["acknowledged"], told["uploaded"]) == ("dry", 7, 0, False)
    with Held(house) as held:
        assert held.traces("dry") == []
    assert not (home.session() / "upload").exists()


def test_a_dry_run_ends_with_1_where_something_would_be_left(home: Home) -> None:
    home.job(TRACE, "dry-left", "1")
    del home.environ["TRACEHOUSE_API_KEY"]
    done = home.sync("--dry-run")
    assert done.code == 1
    assert "waits: there is no key" in done.out
    assert home.sync("--dry-run", "--json").code == 1


def test_a5_status_and_sync_tell_what_another_server_has(home: Home, house: House) -> None:
    home.job(TRACE, "elsewhere", "3", TRACEHOUSE_API_BASE="http://127.0.0.1:9")
    assert home.sync("--api-base", house.url).code == 0
    spool = str(home.spool)
    [there] = home.run("status", spool, "--api-base", house.url, "--json").json["sessions"]
    assert (there["destination"], there["acknowledged"], there["uploaded"]) == (house.url, 7, True)
    [own] = home.run("status", spool, "--json").json["sessions"]
    left = home.sync()
    assert left.code == 1, "its own server has nothing of it"
    for told in (own["trouble"], left.err):
        assert f"it was sent to {house.url} as " in told
        assert "`tracehouse login --api-base http://127.0.0.1:9`" in told
        assert f"`tracehouse sync --api-base {house.url}` sends what is new" in told
    assert (own["destination"], own["acknowledged"], own["uploaded"]) == ("http://127.0.0.1:9", 0, False)
    asked = home.run("rm", "elsewhere").out
    assert f"are not acknowledged by http://127.0.0.1:9; it was sent to {house.url} as" in asked
    [nowhere] = home.run("status", spool, "--api-base", "http://127.0.0.1:10/", "--json").json["sessions"]
    assert (nowhere["destination"], nowhere["acknowledged"]) == ("http://127.0.0.1:10", 0)


def test_json_is_one_object_on_standard_output(home: Home) -> None:
    home.job(TRACE, "json", "3")
    done = home.sync("--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["sessions"] == done.json["uploaded"] == 1
    assert done.json["left"] == []


def test_only_the_sessions_that_match_go(home: Home, house: House) -> None:
    for name in ("glob-a1", "glob-a2", "glob-b1"):
        home.job(TRACE, name, "1")
    assert home.sync("--session", "glob-a*", "--jobs", "3").code == 0
    with Held(house) as held:
        assert sorted(one["session_id"] for one in held.traces("glob-")) == ["glob-a1", "glob-a2"]


def test_without_a_key_a_session_waits_and_sync_says_how_to_go_on(home: Home) -> None:
    home.job(TRACE, "keyless", "1")
    del home.environ["TRACEHOUSE_API_KEY"]
    done = home.sync()
    assert done.code == 1
    assert "tracehouse login" in done.err
    assert "--anonymous" in done.err
    assert home.status()["acknowledged"] == 0


def test_a_key_that_is_for_another_server_is_never_sent(home: Home, house: House) -> None:
    home.job(TRACE, "bound", "1", TRACEHOUSE_API_BASE="http://127.0.0.1:9")
    with proxied(house.url) as proxy:
        home.environ["TRACEHOUSE_API_BASE"] = "https://tracehouse.ai"
        for session in home.sessions():
            manifest = session / layout.MANIFEST
            manifest.write_text(manifest.read_text().replace("http://127.0.0.1:9", proxy.url))
        assert home.sync().code == 1
        assert proxy.received == []


def test_a_named_server_gets_the_key_of_the_environment(home: Home, house: House) -> None:
    home.job(TRACE, "named", "1", TRACEHOUSE_API_BASE="https://tracehouse.ai")
    del home.environ["TRACEHOUSE_API_BASE"]
    assert home.sync("--api-base", house.url + "/").code == 0
    with Held(house) as held:
        assert held.texts("named") == texts(1)


@pytest.mark.parametrize("told", ["environment", "config.toml"])
def test_what_named_no_server_goes_to_the_one_that_is_set_where_it_is_sent(home: Home, house: House, told: str) -> None:
    """As on a cluster: nothing is set up on its nodes, and all on the machine that sends."""
    del home.environ["TRACEHOUSE_API_BASE"]
    name = f"unnamed-{told}"
    home.job(TRACE, name, "2")
    home.job(TRACE, f"{name}-not", "2", TRACEHOUSE_API_BASE="http://127.0.0.1:9")
    if told == "environment":
        home.environ["TRACEHOUSE_API_BASE"] = house.url
    else:
        config = home.environ["TRACEHOUSE_CONFIG_DIR"]
        save_key(home.environ.pop("TRACEHOUSE_API_KEY"), house.url, "default", source="login", config_dir=config)
        (Path(config) / "config.toml").write_text(f'api_base = "{house.url}"\n')
    done = home.sync()
    assert (done.code, f"left: trace {name}-not" in done.err) == (1, True)
    with Held(house) as held:
        assert [one["session_id"] for one in held.traces(name)] == [name]
    status = {one["id"]: one for one in home.run("status", str(home.spool), "--json").json["sessions"]}
    assert (status[name]["destination"], status[name]["uploaded"]) == (house.url, True)
    assert "1 of 2 sessions proven" in home.run("verify", str(home.spool)).out


def test_a_job_with_a_key_of_its_own_needs_no_login(home: Home, house: House) -> None:
    home.job(TRACE, "own-key", "2", TRACEHOUSE_API_KEY=house.key)
    del home.environ["TRACEHOUSE_API_KEY"]
    home.environ.pop("TRACEHOUSE_API_BASE")
    done = home.sync()
    # a key from the job's environment is not kept: only one given in code is
    assert done.code == 1
    script = TRACE.replace('project="p"', f'project="p", api_key={house.key!r}, api_base={house.url!r}')
    home.job(script, "code-key", "2")
    assert home.sync("--session", "code-key").code == 0


def test_a_page_in_place_of_an_answer_is_network_trouble(home: Home, house: House) -> None:
    home.job(TRACE, "portal", "2")
    with proxied(house.url, lambda request: page()) as proxy:
        done = home.sync("--api-base", proxy.url)
    assert done.code == 1
    assert f"left: trace portal: {proxy.url}: " in done.err
    assert "not a JSON object" in done.err
    assert home.status()["acknowledged"] == 0


def test_a_server_that_is_not_there_leaves_everything(home: Home) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.job(TRACE, "nobody-home", "2")
    done = home.sync("--api-base", f"http://127.0.0.1:{port}")
    assert done.code == 1
    assert "left: trace nobody-home" in done.err


def test_s4_a_spool_of_a_newer_format_is_refused_with_a_clear_word(home: Home) -> None:
    home.job(TRACE, "newer", "1")
    manifest = home.session() / layout.MANIFEST
    manifest.write_text(manifest.read_text().replace('"format":1', '"format":2'))
    done = home.sync()
    assert done.code == 1
    assert "format 2" in done.err
    assert "upgrade" in done.err
    assert home.status()["state"] == "unreadable"
    assert home.run("show", "--spool", str(home.spool), str(home.session())).code == 2


def test_one_session_that_cannot_be_read_never_stops_the_others(home: Home, house: House) -> None:
    home.job(TRACE, "unreadable-1", "1")
    broken = home.session()
    home.job(TRACE, "unreadable-2", "4")
    for path in broken.glob("*.json*"):
        path.write_bytes(b"\xff" * 50)
    done = home.sync()
    assert done.code == 1
    with Held(house) as held:
        assert held.texts("unreadable-2") == texts(4)
    assert "no manifest" in done.err
    assert home.run("show", "--spool", str(home.spool), "unreadable-2").code == 0


def test_interrupted_it_stops_cleanly_and_the_next_sync_goes_on(home: Home, house: House) -> None:
    for number in range(4):
        home.job(TRACE, f"interrupted-{number}", "20")
    began: list[str] = []

    def note(request: object) -> None:
        began.append("request")

    with proxied(house.url, note) as proxy:
        process = home.start(
            "sync", str(home.spool), "--jobs", "1", "--api-base", proxy.url, TRACEHOUSE_BATCH_SPANS="1"
        )
        wait_until(lambda: len(began) > 10, what="requests")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "Traceback" not in err
        assert "interrupted" in err or "left" in err
        assert home.sync("--api-base", proxy.url).code == 0
    with Held(house) as held:
        for number in range(4):
            assert held.texts(f"interrupted-{number}") == texts(20)


def test_interrupted_in_a_long_session_it_ends_with_the_requests_under_way(home: Home, house: House) -> None:
    home.job(TRACE, "long", "100")
    told, seen = threading.Event(), 0

    def note(request: Received) -> None:
        nonlocal seen
        seen += 1
        if seen > 10:
            told.wait(60)

    with proxied(house.url, note) as proxy:
        process = home.start("sync", str(home.spool), "--api-base", proxy.url, TRACEHOUSE_BATCH_SPANS="1")
        wait_until(lambda: seen > 10, what="requests")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        wait_until(lambda: "stopping" in process.stderr.readline(), what="the word that it stops")
        told.set()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert seen < 20
        assert home.sync("--api-base", proxy.url).code == 0
    with Held(house) as held:
        assert held.texts("long") == texts(100)


def test_interrupted_twice_it_ends_at_once(home: Home, house: House) -> None:
    home.job(TRACE, "twice", "5")
    applied = threading.Event()

    def hold(proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        proxy.forward(request)
        applied.set()
        connection.recv(1)  # until sync has gone
        return False

    with proxied(house.url, lambda request: hold if b"text 0" in request.body else None) as proxy:
        process = home.start("sync", str(home.spool), "--api-base", proxy.url)
        assert applied.wait(60)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        wait_until(lambda: "stopping" in process.stderr.readline(), what="the word that it stops")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        process.communicate()
        proxy.rule = lambda request: None
        assert home.sync("--api-base", proxy.url).code == 0
    with Held(house) as held:
        assert held.texts("twice") == texts(5)


def test_two_syncs_at_once_send_each_record_once(home: Home, house: House) -> None:
    for number in range(3):
        home.job(RUN, f"two-{number}", "30")
    more = {"TRACEHOUSE_BATCH_POINTS": "5"}
    both = [home.start("sync", str(home.spool), **more) for _ in range(2)]
    codes = [process.communicate(timeout=60) and process.returncode for process in both]
    assert codes == [0, 0]
    with Held(house) as held:
        for number in range(3):
            assert set(held.points(f"two-{number}").values()) == {1}
            assert len(held.points(f"two-{number}")) == 60


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> House:
    with House(tmp_path_factory.mktemp("open") / "data", "--allow-anonymous") as running:
        yield running


def test_a9_what_is_public_is_told_with_its_links(open_house: House, tmp_path: Path) -> None:
    home = Home(tmp_path, open_house.url)
    home.job(TRACE, "public", "3")
    done = home.sync("--anonymous")
    assert done.code == 0, done.err
    told = done.out + done.err
    assert "public" in told.lower()
    assert "/claim?token=" in told
    assert "/t/" in told
    assert home.status()["identity"].startswith("anon-")


def test_a9_a_damaged_public_identity_is_told_and_stops_nobody(open_house: House, tmp_path: Path) -> None:
    home = Home(tmp_path, open_house.url)
    home.job(TRACE, "seen", "1")
    assert home.sync("--anonymous").code == 0
    kept = Path(home.environ["TRACEHOUSE_STATE_DIR"], "anonymous")
    whole = json.loads(next(kept.glob("*.json")).read_text())
    for name, text in (("a", "{"), ("b", "[" * 60_000), ("c", json.dumps({**whole, "api_base": 5}))):
        kept.joinpath(f"{name}.json").write_text(text)
    for words in (["sync"], ["status"], ["links"], ["whoami"]):
        done = home.run(*words)
        assert done.code == 0, done.err
        assert done.err.count(" is damaged (") == 3
        assert "/claim?token=" in done.out + done.err or words == ["whoami"]


def test_a9_nothing_with_a_key_of_its_own_becomes_public(open_house: House, tmp_path: Path) -> None:
    home = Home(tmp_path, open_house.url)
    home.job(TRACE, "private", "3", TRACEHOUSE_API_KEY="ba_somebody")
    done = home.sync("--anonymous")
    assert done.code == 1
    assert "fingerprint" in done.err


def test_a9_a_house_that_takes_no_public_uploads_is_told(home: Home) -> None:
    del home.environ["TRACEHOUSE_API_KEY"]
    home.job(TRACE, "refused", "1")
    done = home.sync("--anonymous")
    assert done.code == 1
    assert "takes no anonymous uploads" in done.err


def test_a9_one_public_identity_covers_all(open_house: House, tmp_path: Path) -> None:
    home = Home(tmp_path, open_house.url)
    script = """
        run = cm.TrainingRun(client_run_id="anon-run", anonymous=True, system_metrics=False, capture_env=False)
        with run.rollout(step=0) as t:
            t.log_user("hello")
        run.finish()
    """
    home.job(script)
    home.job(TRACE, "anon-trace", "1", TRACEHOUSE_ANON="1")
    assert home.sync().code == 0
    sessions = home.run("status", str(home.spool), "--json").json["sessions"]
    assert len({one["identity"] for one in sessions}) == 1


def test_status_and_show_never_send(home: Home) -> None:
    home.job(TRACE, "looked-at", "3")
    home.environ["TRACEHOUSE_API_BASE"] = "http://127.0.0.1:9"
    assert home.run("status", str(home.spool)).code == 0
    shown = home.run("show", "--spool", str(home.spool), "looked-at")
    assert shown.code == 0
    assert [line.strip() for line in shown.out.splitlines() if "text" in line] == texts(3)


def test_show_draws_a_run(home: Home) -> None:
    home.job(RUN, "drawn", "5")
    shown = home.run("show", "--spool", str(home.spool), "draw")
    assert shown.code == 0, shown.err
    assert "loss" in shown.out
    assert "5 points" in shown.out
    assert "2 media files" in shown.out


def test_s5_what_a_spool_says_is_printed_without_its_control_characters(home: Home) -> None:
    home.job("""
        run = cm.Run(session_id="evil\\x1b[2J", project="\\x1b]0;p\\x07")
        run.log_user("text\\x1b[31mred\\x07")
        run.finish()
    """)
    for done in (
        home.run("status", str(home.spool)),
        home.run("show", "--spool", str(home.spool), str(home.session())),
        home.sync("--dry-run"),
        home.sync(),
    ):
        assert done.code == 0, done.err
        assert "\x1b" not in done.out + done.err
        assert "\x07" not in done.out + done.err


def test_status_tells_what_is_left(home: Home) -> None:
    home.job(TRACE, "counted", "3")
    before = home.status()
    assert (before["state"], before["records"], before["acknowledged"], before["uploaded"]) == ("ended", 7, 0, False)
    home.sync()
    after = home.status()
    assert (after["acknowledged"], after["acknowledged_bytes"], after["uploaded"]) == (7, after["bytes"], True)
    assert after["server_id"]
    assert after["trouble"] == ""


def test_sync_as_a_login_user(home: Home, house: House) -> None:
    del home.environ["TRACEHOUSE_API_KEY"]
    login = subprocess.run(
        [*_tracehouse(), "login", "--api-base", house.url],
        input=house.key + "\n",
        env=home.environ,
        text=True,
        capture_output=True,
    )
    assert login.returncode == 0, login.stderr
    home.job(TRACE, "logged-in", "1")
    assert home.sync().code == 0
    assert home.status()["identity"] == "default"


def _tracehouse() -> list[str]:
    import sys

    return [sys.executable, "-m", "tracehoused.cli"]


def test_a_session_directory_may_be_named_itself(home: Home, house: House) -> None:
    home.job(TRACE, "itself", "2")
    done = home.run("sync", os.fspath(home.session()))
    assert done.code == 0, done.err
    with Held(house) as held:
        assert held.texts("itself") == texts(2)


def _login(home: Home, house: House) -> None:
    command = [sys.executable, "-m", "tracehoused.cli", "login", "--api-base", house.url]
    subprocess.run(command, env=home.environ, input=f"{house.key}\n", text=True, check=True, capture_output=True)


def test_a5_a9_what_is_public_is_told_and_sent_as_another_identity_only_when_asked_again(tmp_path: Path) -> None:
    with House(tmp_path / "house", "--allow-anonymous") as house:
        home = Home(tmp_path / "home", house.url)
        home.job("cm.init(session_id='public-one'); cm.log_user('x'); cm.finish()")
        done = home.sync("--anonymous")
        assert done.code == 0, done.err
        _login(home, house)
        refused = home.sync()
        assert refused.code == 1
        assert "has acknowledged it for 'anon-" in refused.err
        assert "sync --again" in refused.err
        for told in (done.err, refused.err, home.run("status").err, home.run("links").out):
            assert "PUBLIC" in told
            assert f"trace public-one: {house.url}/t/" in told
            assert "/claim?token=" in told
        with house.client() as client:
            assert len(client.get("/v1/traces").json()["traces"]) == 1
        assert "sync --again" in home.run("status").out
        assert home.sync("--again").code == 0
        assert home.sync().code == 0  # from then on it is this identity's as well
        with house.client() as client:
            assert len(client.get("/v1/traces").json()["traces"]) == 2


def test_a11_plain_http_to_another_machine_needs_its_flag(home: Home) -> None:
    far = {"TRACEHOUSE_API_BASE": "http://192.0.2.1:9"}
    home.job("cm.init(session_id='plain'); cm.log_user('x'); cm.finish()", **far)
    refused = home.sync("--dry-run", **far)
    assert refused.code == 1
    assert "--allow-plain-http" in refused.err + refused.out
    assert home.sync("--dry-run", "--allow-plain-http", **far).code == 0
