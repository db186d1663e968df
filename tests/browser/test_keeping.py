"""Keeping house in a real browser: keys, links, deleting and undoing, agents; readable everywhere, harmless whatever is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.browser import LOOKS, Visitor
from tests.support.hostile import HOSTILE
from tests.support.house import new_run, new_trace, point, post, span
from tests.support.pictures import png

if TYPE_CHECKING:
    from tests.support.house import House

PAGES = ("/traces", "/keys", "/shares", "/deleted", "/disk", "/agents", "/claim?token=none")


def press(visitor: Visitor, selector: str) -> None:
    """Press a button that leads to another page, and wait for that."""
    visitor.run("window.left = true")
    visitor.find(selector).click()
    visitor.wait("!window.left && document.readyState === 'complete'")


@pytest.mark.parametrize("width, theme", LOOKS)
def test_keeping_pages_and_tables_are_read_in_every_size_and_theme(
    visitor: Visitor, client: httpx.Client, width: int, theme: str
) -> None:
    run, other = (
        new_run(client, f"run-{at}", config={"lr": at, "model": {"layers": 12, "dropout": 0.1}}, hf_model="org/model")
        for at in range(2)
    )
    new_trace(client, "kept", task_name="What lies there?")
    post(client, f"/v1/runs/{run}/artifacts", {"name": "environment", "kind": "json", "data": {"python": "3.12"}})
    client.post(f"/v1/runs/{run}/media", params={"key": "k", "media_type": "image"}, content=png(1, 2, 3))
    client.delete(f"/v1/runs/{new_run(client, 'gone')}")
    tabs = [f"/r/{run}/{tab}" for tab in ("environment", "artifacts", "links", f"config?with={other}")]
    for path in (*PAGES, *tabs):
        visitor.open(path, width, theme)
        assert visitor.overflow() <= 0, path
        assert [one for one in visitor.troubles() if "404" not in one] == []
        name = path.split("?")[0].replace(run, "run").replace("/", "-")
        visitor.shot(f"keep{name}-{width}-{theme}")


def test_a_key_is_made_and_revoked(visitor: Visitor) -> None:
    visitor.open("/keys")
    visitor.find("input[name=label]").send_keys("cluster key")
    press(visitor, "form.card button")
    assert visitor.find("#secret").text.startswith("ba_")
    assert "cluster key" in visitor.find("tbody").text
    press(visitor, "button[aria-label='Revoke cluster key']")
    assert "cluster key" not in visitor.find("main").text


def test_a_link_shows_a_run_with_its_charts_and_media_to_a_stranger(
    visitor: Visitor, client: httpx.Client, house: House
) -> None:
    run = new_run(client, "to-share")
    post(client, f"/v1/runs/{run}/metrics", {"points": [point(step, 1 / (1 + step)) for step in range(20)]})
    params = {"key": "picture", "media_type": "image", "step": 1}
    client.post(f"/v1/runs/{run}/media", params=params, content=png(9, 9, 9), headers={"content-type": "image/png"})
    trace = new_trace(client, "to-share-1", run_id=run, rollout_step=1)
    assert post(client, "/v1/spans", {"traces": [], "spans": [span(0, "to-share-1")]}).is_success
    visitor.open(f"/r/{run}/config")
    visitor.find(".actions summary").click()
    press(visitor, ".actions button[value='7']")
    link = visitor.find("#secret").text
    cookies = visitor.driver.get_cookies()
    visitor.leave()
    try:
        visitor.driver.get(link)
        visitor.wait("document.querySelector('.chart canvas')?.width > 0")
        assert visitor.troubles() == []
        assert visitor.all(".actions") == []
        visitor.find(".tabs a[href*='/media']").click()
        visitor.wait("[...document.querySelectorAll('main img')].some((one) => one.naturalWidth === 32)")
        visitor.find(".tabs a[href*='/rollouts']").click()
        visitor.wait("document.querySelector('.sample')")
        visitor.find(".sample").click()
        visitor.wait("document.querySelector('.pane .turn')")
        visitor.find(".pane h2 a").click()
        visitor.wait("location.pathname.startsWith('/t/')")
        assert "text 0" in visitor.find("main").text
        assert visitor.troubles() == []
        visitor.driver.get(f"{house.url}/t/{trace}")
        assert "Sign in" in visitor.find("h1").text
        assert all("401" in one for one in visitor.troubles())
    finally:
        for cookie in cookies:
            visitor.driver.add_cookie(cookie)


def test_a_deleted_run_is_brought_back(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client, "deleted-and-back")
    visitor.open(f"/r/{run}/config")
    press(visitor, "button.danger")
    assert visitor.find("h1").text == "Keeping house"
    press(visitor, "button.main")
    assert visitor.run("return location.pathname") == f"/r/{run}"
    assert client.get(f"/v1/runs/{run}").status_code == 200


def test_hostile_text_stays_text_in_tables(visitor: Visitor, client: httpx.Client, house: House) -> None:
    run = new_run(
        client, HOSTILE, project=HOSTILE, config={HOSTILE: {HOSTILE: HOSTILE}}, hf_model=HOSTILE, hf_dataset=HOSTILE
    )
    other = new_run(client, HOSTILE + "2", config={HOSTILE: 1})
    for name in ("environment", HOSTILE):
        post(client, f"/v1/runs/{run}/artifacts", {"name": name, "kind": "json", "data": {HOSTILE: HOSTILE}})
    gone = new_run(client, HOSTILE + "gone")
    client.delete(f"/v1/runs/{gone}")
    with house.client(
        "machine<script>", **{"X-Claude-Monitor-Hostname": HOSTILE, "X-Tracehouse-Oldest": HOSTILE}
    ) as agent:
        new_run(agent, "hostile-agent")
    tabs = [f"/r/{run}/{tab}" for tab in ("config", "environment", "artifacts", "links", f"config?with={other}")]
    for path in (*tabs, "/deleted", "/agents", "/traces"):
        visitor.open(path)
        assert visitor.troubles() == [], path
        assert visitor.run("return document.querySelectorAll('main script, main img, main [onerror]').length") == 0
