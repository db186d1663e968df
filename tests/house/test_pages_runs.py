"""The table of runs and the head of a run, as they leave the house."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import httpx
import pytest

from tests.support.house import House, new_run, point, post

NOW = datetime.now(timezone.utc)


def ago(**passed: float) -> str:
    return (NOW - timedelta(**passed)).isoformat()


def names(client: httpx.Client, **params: str) -> list[str]:
    page = client.get("/", params=params)
    assert page.status_code == 200
    return re.findall(r'<th scope="row" class="name"><a href="/r/[0-9a-f]+">([^<]*)</a>', page.text)


def log(client: httpx.Client, run: str, value: float, key: str = "loss", at: str | None = None) -> None:
    given = {**point(0, value, key), "wall_time": at or ago(seconds=1)}
    assert post(client, f"/v1/runs/{run}/metrics", {"points": [given]}).is_success


def test_filters_narrow_and_say_so_when_nothing_is_left(client: httpx.Client) -> None:
    for name, project in (("narrow-a", "p1"), ("narrow-b", "p2"), ("narrow-%", "p2")):
        new_run(client, name, project=project)
    assert names(client, q="narrow-") == ["narrow-%", "narrow-b", "narrow-a"]
    assert names(client, q="narrow-", project="p2") == ["narrow-%", "narrow-b"]
    assert names(client, q="narrow-%") == ["narrow-%"]
    assert names(client, q="narrow-", status="failed") == []
    assert "No run fits" in client.get("/", params={"q": "no such run at all"}).text


@pytest.mark.parametrize(
    "by, ascending",
    [
        ("name", ["order-1", "order-2", "order-3"]),
        ("started", ["order-2", "order-3", "order-1"]),
        ("duration", ["order-3", "order-1", "order-2"]),
        ("metric:loss", ["order-1", "order-3", "order-2"]),
        ("points", ["order-2", "order-1", "order-3"]),
        ("status", ["order-3", "order-2", "order-1"]),
    ],
)
def test_every_column_sorts_both_ways(tmp_path_factory: pytest.TempPathFactory, by: str, ascending: list[str]) -> None:
    with House(tmp_path_factory.mktemp("sorted") / "data") as house, house.client() as client:
        made = (("order-2", 9.0, 3600, 1, "finished"), ("order-3", 5.0, 10, 3, "failed"), ("order-1", 1.0, 60, 2, None))
        for name, value, lasted, points, status in made:
            run = new_run(client, name, started_at=ago(seconds=lasted))
            for at in range(points):
                log(client, run, value, f"k{at}" if at else "loss")
            if status:
                client.patch(f"/v1/runs/{run}", json={"status": status, "ended_at": ago(seconds=0)})
        assert names(client, q="order-", sort=by, order="up") == ascending
        assert names(client, q="order-", sort=by, order="down") == ascending[::-1]


def test_pages_hold_every_run_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    with House(tmp_path_factory.mktemp("paged") / "data") as house, house.client() as client:
        for at in range(230):
            new_run(client, f"run-{at}")
        for sort in ("started", "duration"):
            found = [name for page in ("1", "2", "3") for name in names(client, sort=sort, page=page)]
            assert len(found) == len(set(found)) == 230


def test_a_run_that_went_silent_is_stalled_and_one_that_logs_is_running(client: httpx.Client, house: House) -> None:
    run = new_run(client, "silent", started_at=ago(hours=3))
    log(client, run, 1.0, at=ago(hours=2))
    assert 'class="status running"' in client.get(f"/r/{run}").text
    house.stop()
    import sqlite3

    with sqlite3.connect(house.data / "house.db") as database:
        old = int((NOW - timedelta(hours=2)).timestamp() * 1e6)
        database.execute("UPDATE runs SET updated_us = ? WHERE id = ?", (old, run))
    house.start()
    with house.client(machine="silent") as again:
        assert 'class="status stalled"' in again.get(f"/r/{run}").text
        assert names(again, q="silent", status="stalled") == ["silent"]
        assert names(again, q="silent", status="running") == []
        log(again, run, 2.0)
        assert 'class="status running"' in again.get(f"/r/{run}").text


def test_the_last_values_are_those_of_the_newest_points(client: httpx.Client) -> None:
    run = new_run(client, "newest", project="only-newest")
    log(client, run, 0.25)
    post(client, f"/v1/runs/{run}/metrics", {"points": [point(9, 0.125)]}, X_Tracehouse_Attempt="1")
    log(client, run, 0.75)
    page = client.get("/", params={"project": "only-newest"}).text
    assert re.findall(r'<td class="number last">(0\.\d+)</td>', page) == ["0.75"]


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=99999999999999"])
def test_bad_pages_are_refused_in_words(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


def test_an_empty_house_says_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    with House(tmp_path_factory.mktemp("empty") / "data") as house, house.client() as client:
        page = client.get("/").text
        assert "No runs yet" in page
        assert "tracehouse.init_run(" in page
        assert "tracehouse sync" in page


def test_pages_need_a_sign_in(house: House) -> None:
    for path in (
        "/",
        "/r/x",
        "/r/x/media",
        "/compare?run=x",
        "/download.csv?run=x",
        "/live?run=x",
        "/data/series?run=x",
    ):
        assert httpx.get(house.url + path).status_code == 401


def test_static_files_are_kept_by_their_content(client: httpx.Client) -> None:
    page = client.get("/").text
    [style] = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page)
    assert client.get(style).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/static/house.css").headers["cache-control"] == "no-cache"
    assert client.get(style).text == client.get("/static/house.css").text
    assert client.get(style.replace(style.split("/")[2], "0" * 12)).status_code == 404


def test_runs_of_one_name_are_told_apart_where_they_stand_together(client: httpx.Client) -> None:
    one, two = (new_run(client, f"twin-{at}", name="twin", config={"lr": at}) for at in range(2))
    single = new_run(client, "single", config={"lr": 5})
    for run in (one, two, single):
        log(client, run, 1.0)
    compared = client.get("/compare", params={"run": [one, two, single]}).text
    assert re.findall(r'data-label="([^"]*)"', compared) == [f"twin {one[:6]}", f"twin {two[:6]}", "single"]
    assert f">twin {one[:6]}</a>" in compared
    listed = re.findall(r'<option value="[0-9a-f]+">([^<]*)', client.get(f"/r/{one}/config").text)
    assert "single" in listed
    assert any(text.startswith(f"twin {two[:6]} · ") for text in listed)
    heads = client.get(f"/r/{one}/config", params={"with": two}).text
    assert f">twin {one[:6]}</th>" in heads
    assert f">twin {two[:6]}</a></th>" in heads
