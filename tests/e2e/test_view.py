"""``tracehouse view``: a spool in a house of its own, while jobs write it; the spool stays as it is."""

from __future__ import annotations

import html
import os
import re
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from tests.support import lanes
from tests.support.home import Home
from tests.support.waiting import wait_until

lanes.needs_house()
from tests.support.house import House  # noqa: E402
from tests.support.viewing import viewed  # noqa: E402

LIVE = """
    run = cm.init_run(project="p", name="live", client_run_id="live")
    run.log({"loss": 1.0}, step=0)
    print("began", flush=True)
    for line in sys.stdin:
        run.log({"loss": 0.5}, step=int(line))
    run.finish()
"""
TWO = """
    for name in ("one", "two"):
        run = cm.init_run(name=name, client_run_id=name)
        for step in range(20):
            run.log({"loss": step}, step=step)
        run.log_image("picture", bytes.fromhex(
            "89504e470d0a1a0a0000000d494844520000000100000001080000000"
            "03a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"))
        run.finish()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, "http://127.0.0.1:9")


def files(spool: Path) -> dict[str, tuple[bytes, int]]:
    """Everything in a spool: content and time of change."""
    found = [path for path in spool.rglob("*") if path.is_file()]
    return {str(path.relative_to(spool)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def names(browser: httpx.Client) -> list[str]:
    return sorted(run["name"] for run in browser.get("/v1/runs").json()["runs"])


def points(browser: httpx.Client, page: str) -> list[Any]:
    answer = browser.get(f"/v1/runs/{page.rpartition('/')[2]}/metrics", params={"key": "loss"}).json()
    return [point[0] for series in answer.get("series", ()) for point in series["points"]]


def is_complete(browser: httpx.Client) -> bool:
    runs = browser.get("/v1/runs").json()["runs"]
    return len(runs) == 2 and all(run["status"] == "finished" for run in runs)


def test_a_live_job_is_followed_and_both_end_cleanly(home: Home) -> None:
    job = home.start_job(LIVE)
    assert job.stdin is not None
    assert job.stdout is not None
    assert job.stdout.readline() == "began\n"
    with viewed(home) as shown, shown.browser() as browser:
        assert shown.page.startswith("/r/")
        assert "live" in browser.get(shown.page).text
        for step in (1, 2):
            job.stdin.write(f"{step}\n")
            job.stdin.flush()
            wait_until(lambda: points(browser, shown.page) == list(range(step + 1)), what=f"step {step} shown")  # noqa: B023
        assert shown.end() == 0
        assert "Traceback" not in shown.said()
    job.communicate("3\n", timeout=60)
    assert job.returncode == 0
    with viewed(home) as again, again.browser() as browser:
        wait_until(lambda: points(browser, again.page) == [0, 1, 2, 3], what="what came meanwhile")


def test_nothing_in_the_spool_is_changed_or_counts_as_uploaded(home: Home, tmp_path: Path) -> None:
    with House(tmp_path / "primary") as house:
        home = Home(tmp_path, house.url).with_key(house.key)
        home.job(TWO)
        assert home.run("sync", str(home.spool), "--session", "one").code == 0
        before = home.run("status", str(home.spool), "--json").json["sessions"]
        assert sorted(one["uploaded"] for one in before) == [False, True]
        held = files(home.spool)
        with viewed(home) as shown, shown.browser() as browser:
            wait_until(lambda: is_complete(browser), what="both runs shown")
            assert shown.end() == 0
        assert files(home.spool) == held
        assert home.run("status", str(home.spool), "--json").json["sessions"] == before
        assert home.sync().code == 0
        with house.client() as client:
            assert names(client) == ["one", "two"]


def test_a_spool_that_cannot_be_written_to_is_shown(home: Home) -> None:
    home.job(TWO)
    for folder, _, _ in os.walk(home.spool, topdown=False):
        os.chmod(folder, 0o500)
    try:
        with viewed(home) as shown, shown.browser() as browser:
            wait_until(lambda: is_complete(browser), what="both runs shown")
    finally:
        for folder, _, _ in os.walk(home.spool):
            os.chmod(folder, 0o700)


def test_a_second_look_goes_on_from_the_first(home: Home) -> None:
    home.job(TWO)
    sent = []
    for _ in range(2):
        with viewed(home, str(home.spool), "--no-browser", "--data", str(home.directory / "kept")) as shown:
            with shown.browser() as browser:
                wait_until(lambda: is_complete(browser), what="both runs shown")
            assert shown.end() == 0
        with sqlite3.connect(home.directory / "kept" / "house" / "house.db") as database:
            sent.append(database.execute("SELECT sum(requests) FROM agents").fetchone())
    assert sent[0] == sent[1]
    assert (home.directory / "kept").stat().st_mode & 0o777 == 0o700


def test_a_session_that_the_spool_has_lost_is_shown_no_more(home: Home) -> None:
    home.job(TWO)
    with viewed(home) as shown, shown.browser() as browser:
        wait_until(lambda: is_complete(browser), what="both runs shown")
        shown.end()
    assert home.run("rm", "one", "--yes").code == 0
    with viewed(home) as shown, shown.browser() as browser:
        wait_until(lambda: names(browser) == ["two"], what="what is there still")


def test_one_session_s_directory_is_shown_alone(home: Home) -> None:
    home.job(TWO)
    [one] = [path for path in home.sessions() if "-one-" in path.name]
    with viewed(home, str(one), "--no-browser") as shown, shown.browser() as browser:
        assert shown.page.startswith("/r/")
        wait_until(lambda: names(browser) == ["one"], what="the run shown")
        assert "<h1" in browser.get(shown.page).text


def test_the_browser_opens_at_the_run(home: Home) -> None:
    home.job(LIVE.replace("for line in sys.stdin", "for line in ()"))
    opened = home.directory / "opened"
    program = home.directory / "browser"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    program.chmod(0o700)
    with viewed(home, str(home.spool), BROWSER=str(program)) as shown:
        told = str(wait_until(lambda: opened.exists() and opened.read_text(), what="a browser"))
        # everybody on the machine sees what a program is begun with
        assert (told[:8], "signin" in told) == ("file:///", False)
        page = Path(unquote(urlsplit(told).path))
        assert [path.stat().st_mode & 0o777 for path in (page, page.parent)] == [0o600, 0o700]
        [link] = set(re.findall(rf"{shown.url}/signin/[^\"]+", html.unescape(page.read_text())))
        assert link != shown.link
        assert f"url={shown.page}" in httpx.get(link).text
        assert shown.end() == 0
        assert not page.parent.exists()


def test_what_is_shown_already_is_not_shown_twice(home: Home) -> None:
    home.job(TWO)
    with viewed(home) as shown:
        done = home.run("view", str(home.spool), "--no-browser")
        assert (done.code, shown.url in done.out) == (0, True)


def test_without_a_spool_it_says_so(home: Home) -> None:
    done = home.run("view", "--no-browser")
    assert done.code == 1
    assert "no spool yet" in done.err
    assert home.run("view", str(home.directory / "none")).code == 2


def test_an_empty_spool_waits_for_the_first_job(home: Home) -> None:
    home.spool.mkdir()
    with viewed(home) as shown, shown.browser() as browser:
        assert names(browser) == []
        home.job(TWO)
        wait_until(lambda: is_complete(browser), what="the jobs of later")


def test_a_killed_view_leaves_the_way_free(home: Home) -> None:
    home.job(TWO)
    with viewed(home) as shown:
        shown.process.kill()
        assert shown.process.wait(60) == -9
    with viewed(home) as shown, shown.browser() as browser:
        wait_until(lambda: is_complete(browser), what="both runs shown")


def test_a_browser_that_stays_open_delays_neither_the_link_nor_the_end(home: Home) -> None:
    home.job(TWO)
    begun = home.directory / "begun"
    program = home.directory / "browser"
    program.write_text(f"#!/bin/sh\necho $$ > {begun}\nexec sleep 300\n")
    program.chmod(0o700)
    with viewed(home, str(home.spool), BROWSER=str(program)) as shown:
        wait_until(lambda: begun.exists() and begun.read_text().endswith("\n"), what="a browser")
        try:
            with shown.browser() as browser:
                wait_until(lambda: is_complete(browser), what="both runs shown")
            assert shown.end() == 0
        finally:
            os.kill(int(begun.read_text()), signal.SIGKILL)


def test_what_is_kept_and_damaged_is_told_with_what_to_do(home: Home) -> None:
    home.job(TWO)
    kept = home.directory / "kept"
    (kept / "house").mkdir(parents=True)
    (kept / "house" / "house.db").write_bytes(b"no database" * 1000)
    (kept / "spools").write_text(str(home.spool))
    done = home.run("view", str(home.spool), "--no-browser", "--data", str(kept))
    assert done.code == 1
    assert f"{kept} holds nothing that the spool has not: delete it" in done.err
    assert "Traceback" not in done.err


def test_a_directory_that_no_view_made_is_left_as_it_is(home: Home) -> None:
    """A real house's data below it would be taken over, and deleted with the first session that goes."""
    home.job(TWO)
    for number, held in enumerate(("house/house.key", "house.db", "notes.txt")):
        other = home.directory / f"other-{number}"
        (other / held).parent.mkdir(parents=True)
        (other / held).write_bytes(b"somebody's own")
        before = files(other)
        done = home.run("view", str(home.spool), "--no-browser", "--data", str(other))
        assert (done.code, files(other)) == (1, before)
        assert f"{other} holds something else" in done.err
        assert "delete it" not in done.err


def test_what_views_left_that_were_killed_as_they_began_is_cleared(home: Home) -> None:
    home.spool.mkdir()
    with viewed(home) as shown:
        assert shown.end() == 0
    [kept] = (home.directory / "state" / "views").iterdir()
    for name, age in (("killed", 3600), ("beginning", 0)):
        left = kept.with_name(name)
        left.mkdir()
        (left / "house.lock").touch()
        os.utime(left, (time.time() - age,) * 2)
    with viewed(home):
        assert {one.name for one in kept.parent.iterdir()} == {kept.name, "beginning"}
