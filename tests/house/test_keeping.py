"""Keys, links, claims, deletion that can be undone, the disk and the agents: what each lets whom do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.house import House, new_run, new_trace, point, post, span
from tests.support.waiting import wait_until


@pytest.fixture
def browser(house: House) -> Iterator[httpx.Client]:
    """A signed-in browser, whose forms come from the house's own pages."""
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as made:
        assert made.post("/signin", data={"key": house.key}).status_code == 200
        yield made


def bearer(house: House, key: str) -> httpx.Client:
    return httpx.Client(base_url=house.url, headers={"Authorization": f"Bearer {key}"})


def made_key(browser: httpx.Client, **form: str) -> str:
    page = browser.post("/keys", data=form).text
    found = re.search(r'id="secret">(ba_[\w-]+)<', page)
    assert found, page
    return found[1]


def made_link(browser: httpx.Client, kind: str, target: str, days: str = "7") -> str:
    page = browser.post("/shares", data={"kind": kind, "id": target, "days": days}).text
    found = re.search(r'id="secret">(http[^<]+)<', page)
    assert found, page
    return found[1]


def test_a_key_is_told_once_writes_and_ends_when_it_is_revoked(house: House, browser: httpx.Client) -> None:
    key = made_key(browser, label="cluster <b>", scope="write")
    with bearer(house, key) as job:
        run = new_run(job, "by-key")
        listed = browser.get("/keys").text
        assert key not in listed
        assert "cluster &lt;b&gt;" in listed
        digest = re.findall(r'name="key" value="([0-9a-f]{64})"', listed)[0]
        assert browser.post("/keys/revoke", data={"key": digest}).status_code == 303
        assert job.get(f"/v1/runs/{run}").status_code == 401
    assert digest not in browser.get("/keys").text


def test_a_read_only_key_reads_and_nothing_else(house: House, browser: httpx.Client, client: httpx.Client) -> None:
    run = new_run(client)
    with bearer(house, made_key(browser, label="reader", scope="read")) as reader:
        assert reader.get(f"/v1/runs/{run}").status_code == 200
        assert reader.patch(f"/v1/runs/{run}", json={"status": "finished"}).status_code == 403
        assert reader.delete(f"/v1/runs/{run}").status_code == 403


@pytest.mark.parametrize(
    "path, form",
    [
        ("/keys", {"scope": "write"}),
        ("/keys/revoke", {"key": "x"}),
        ("/shares", {"kind": "run", "id": "x"}),
        ("/shares/revoke", {"share": "x"}),
        ("/delete", {"kind": "run", "id": "x"}),
        ("/restore", {"kind": "run", "id": "x"}),
        ("/purge", {"kind": "run", "id": "x"}),
        ("/claim", {"token": "x"}),
    ],
)
def test_only_the_owners_browser_keeps_the_house(
    house: House, browser: httpx.Client, client: httpx.Client, path: str, form: dict[str, str]
) -> None:
    assert httpx.post(house.url + path, data=form).status_code == 401
    assert client.post(path, data=form).status_code == 403
    for origin in ("http://elsewhere.example", "null"):
        assert browser.post(path, data=form, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("path", ["/keys", "/shares", "/deleted", "/disk", "/agents", "/claim?token=x"])
def test_keeping_pages_are_the_owners(house: House, browser: httpx.Client, path: str) -> None:
    assert httpx.get(house.url + path).status_code == 401
    assert browser.get(path).status_code in (200, 404)


def test_a_runs_link_shows_it_and_its_rollouts_and_nothing_else(
    house: House, browser: httpx.Client, client: httpx.Client
) -> None:
    run, other = new_run(client, "shared", config={"lr": 1}), new_run(client, "hidden")
    rollout = new_trace(client, "shared-1", run_id=run, rollout_step=1)
    foreign = new_trace(client, "foreign")
    post(client, f"/v1/runs/{run}/metrics", {"points": [point(1)]})
    params = {"key": "k", "media_type": "image"}
    medium = client.post(f"/v1/runs/{run}/media", params=params, content=b"png").json()["id"]
    secret = client.post(f"/v1/runs/{other}/media", params=params, content=b"other").json()["id"]
    link = httpx.URL(made_link(browser, "run", run))
    token = link.params["t"]
    with httpx.Client(base_url=house.url, params={"t": token}) as reader:
        pages = [
            f"/r/{run}{tab}" for tab in ("", "/media", "/rollouts", "/config", "/environment", "/artifacts", "/links")
        ]
        for path in (*pages, f"/t/{rollout}", f"/v1/runs/{run}", f"/v1/runs/{run}/metrics", f"/v1/media/{medium}"):
            answer = reader.get(path)
            assert answer.status_code == 200, path
            if not path.startswith("/v1"):
                assert answer.headers["referrer-policy"] == "no-referrer"
                assert "Sign out" not in answer.text
                inner = set(re.findall(r'<a [^>]*href="(/[rt]/[^"]*)"', answer.text))
                assert all("t=" in one for one in inner), inner
        for path in ("/", "/traces", "/keys", "/agents", "/v1/runs", "/v1/traces", "/compare"):
            assert reader.get(path, params={"run": run}).status_code in (401, 403), path
        for path in (
            f"/r/{other}",
            f"/t/{foreign}",
            f"/v1/runs/{other}",
            f"/v1/traces/{foreign}",
            f"/v1/media/{secret}",
        ):
            assert reader.get(path).status_code == 404, path
        assert reader.get(f"/r/{run}/config", params={"with": other}).status_code == 404
        assert reader.patch(f"/v1/runs/{run}", json={}).status_code == 401
        assert reader.delete(f"/v1/runs/{run}").status_code == 401
        share = re.findall(r'name="share" value="([0-9a-f]{64})"', browser.get("/shares").text)[0]
        assert browser.post("/shares/revoke", data={"share": share}).status_code == 303
        assert reader.get(f"/r/{run}").status_code == 401


def test_a_traces_link_shows_that_trace_only(house: House, browser: httpx.Client, client: httpx.Client) -> None:
    run = new_run(client)
    traces = [new_trace(client, f"one-of-{at}", run_id=run, rollout_step=1) for at in range(2)]
    post(client, "/v1/spans", {"traces": [], "spans": [span(0, "one-of-0")]})
    token = httpx.URL(made_link(browser, "trace", traces[0], "")).params["t"]
    with httpx.Client(base_url=house.url, params={"t": token}) as reader:
        for path in (f"/t/{traces[0]}", f"/t/{traces[0]}/timeline", f"/v1/traces/{traces[0]}"):
            assert reader.get(path).status_code == 200
        for path in (f"/t/{traces[1]}", f"/r/{run}", f"/r/{run}/rollouts"):
            assert reader.get(path).status_code == 404


def test_news_end_with_the_link_and_with_the_sign_in(house: House, client: httpx.Client) -> None:
    run = new_run(client, "watched")
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as browser:
        assert browser.post("/signin", data={"key": house.key}).status_code == 200
        token = httpx.URL(made_link(browser, "run", run)).params["t"]
        ways: list[tuple[dict[str, str], str, dict[str, str]]] = [
            ({"t": token}, "/shares/revoke", {"share": hashlib.sha256(token.encode()).hexdigest()}),
            ({}, "/signout", {}),
        ]
        for params, ending, form in ways:
            watcher = httpx.Client(base_url=house.url, cookies={} if params else browser.cookies, timeout=15)
            with watcher, watcher.stream("GET", "/live", params={"run": run, **params}) as stream:
                told = stream.iter_lines()
                assert next(told) == "event: news"
                assert browser.post(ending, data=form).status_code == 303
                assert "event: over" in list(told)


def test_a_deleted_run_comes_back_with_what_went_with_it(browser: httpx.Client, client: httpx.Client) -> None:
    run = new_run(client, "undone")
    before, after = (new_trace(client, f"undone-{at}", run_id=run, rollout_step=at) for at in range(2))
    assert client.delete(f"/v1/traces/{before}").is_success
    answer = browser.post("/delete", data={"kind": "run", "id": run})
    assert answer.status_code == 303
    assert client.get(f"/v1/runs/{run}").status_code == client.get(f"/v1/traces/{after}").status_code == 410
    page = browser.get(answer.headers["location"]).text
    assert f'value="{run}"' in page
    assert f'value="{after}"' not in page
    answer = browser.post("/restore", data={"kind": "run", "id": run})
    assert answer.headers["location"] == f"/r/{run}"
    assert client.get(f"/v1/runs/{run}").status_code == client.get(f"/v1/traces/{after}").status_code == 200
    assert client.get(f"/v1/traces/{before}").status_code == 410
    browser.post("/restore", data={"kind": "trace", "id": before})
    assert client.get(f"/v1/traces/{before}").status_code == 200


def test_disk_use_is_told_by_run(browser: httpx.Client, client: httpx.Client) -> None:
    run = new_run(client, "large")
    client.post(f"/v1/runs/{run}/media", params={"key": "k", "media_type": "file"}, content=b"x" * 3_500_000)
    page = browser.get("/disk").text
    assert f"/r/{run}" in page
    assert "3.5 MB" in page


def test_agents_are_seen_with_what_they_say_of_themselves(house: House, browser: httpx.Client) -> None:
    oldest = "2026-01-02T03:04:05Z"
    told = {"X-Tracehouse-Pending": "1234", "X-Tracehouse-Dead": "7", "X-Tracehouse-Oldest": oldest}
    with house.client("node-a", **{"X-Claude-Monitor-Hostname": "node-a.cluster", **told}) as one:
        new_run(one, "from-a")
    with house.client("node-b", **{"X-Tracehouse-Pending": "many", "X-Tracehouse-Oldest": "<script>"}) as other:
        new_run(other, "from-b")
    page = browser.get("/agents").text
    assert all(text in page for text in ("node-a.cluster", "1,234", ">7<", oldest, "node-b"))
    assert "<script>" not in page.split("<main")[1]


def test_what_was_sent_anonymously_is_claimed_once_and_the_sender_goes_on(tmp_path: Path) -> None:
    with House(tmp_path / "data", "--allow-anonymous") as house:
        made = httpx.post(f"{house.url}/v1/anon/session", json={}).json()
        with bearer(house, made["token"]) as sender:
            run = new_run(sender, "anonymous")
            trace = new_trace(sender, "anonymous-1", run_id=run)
            shared = f"{house.url}/r/{run}?t={made['read_token']}"
            assert httpx.get(shared).status_code == 200
            assert httpx.get(f"{house.url}/t/{trace}?t={made['read_token']}").status_code == 200
            assert httpx.get(f"{house.url}/?t={made['read_token']}").status_code == 403
            claim = f"/claim?token={made['claim_token']}"
            assert httpx.get(house.url + claim).status_code == 401
            with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as browser:
                browser.post("/signin", data={"key": house.key})
                assert "1 run and 1 trace" in browser.get(claim).text
                assert "Claimed" in browser.post("/claim", data={"token": made["claim_token"]}).text
                assert browser.post("/claim", data={"token": made["claim_token"]}).status_code == 404
                assert browser.get(claim).status_code == 404
                assert browser.get(f"/r/{run}").status_code == 200
            assert new_run(sender, "anonymous") == run
            assert sender.get("/v1/runs").json()["runs"][0]["id"] == run
        wait_until(lambda: httpx.get(shared).status_code == 401, what="the public link ends")


@pytest.mark.parametrize("kind", ["r", "t"])
def test_a_link_that_opens_nothing_says_so_and_not_what_is_there(
    house: House, browser: httpx.Client, client: httpx.Client, kind: str
) -> None:
    made = new_run(client, "ended") if kind == "r" else new_trace(client, "ended")
    token = httpx.URL(made_link(browser, "run" if kind == "r" else "trace", made)).params["t"]
    browser.post("/shares/revoke", data={"share": hashlib.sha256(token.encode()).hexdigest()})
    told = {}
    for there, one in ((made, token), (made, "share_bad"), ("0" * 32, "share_bad")):
        answer = httpx.get(f"{house.url}/{kind}/{there}", params={"t": one})
        assert answer.status_code == 401
        told[answer.text.replace(there, "")] = answer.text
    [page] = told.values()
    assert "does not open anything" in page
    assert "Ask whoever gave it to you" in page
    assert 'action="/signin?' in page
    assert "does not open anything" not in httpx.get(f"{house.url}/{kind}/{made}").text


def test_who_signs_in_at_a_link_goes_on_to_what_it_named(house: House, client: httpx.Client) -> None:
    run = new_run(client, "named")
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as owner:
        page = owner.get(f"/r/{run}", params={"t": "share_bad"}).text
        for key in ("wrong", house.key):
            action = re.findall(r'action="(/signin[^"]*)"', page)[0]
            page = owner.post(action, data={"key": key}).text
    assert f'url=/r/{run}"' in page


def test_a_new_key_comes_with_the_command_that_keeps_it_for_this_house(house: House, browser: httpx.Client) -> None:
    page = browser.post("/keys", data={"label": "node", "scope": "write"}).text
    assert f"tracehouse login --api-base {house.url}<" in page
