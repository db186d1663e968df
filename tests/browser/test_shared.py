"""What a link shows to a stranger: every picture of the run, and the link's token to nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.browser import Visitor
from tests.support.house import House, new_run, new_trace, post, span
from tests.support.pictures import png
from tests.support.waiting import wait_until

SHOWN = """
  return [...document.querySelectorAll("main img")].filter((one) => one.checkVisibility())
    .map((one) => [new URL(one.src).searchParams.get("t"), one.naturalWidth]);"""
OUTWARD = """
  return [...document.querySelectorAll("main a[href]")].filter((one) => one.origin && one.origin !== location.origin)
    .map((one) => [one.href, one.rel]);"""


@pytest.fixture(scope="module")
def run(house: House) -> str:
    """A run with two keys of media, one of them many, links to elsewhere, and a rollout that links elsewhere."""
    with house.client("shared") as client:
        made = new_run(client, "shared", hf_model="org/model", hf_dataset="org/data")
        for step in range(62):
            params = {"key": "many", "media_type": "image", "step": str(step), "caption": f"step {step}"}
            client.post(f"/v1/runs/{made}/media", params=params, content=png(step, 99, 199))
        params = {"key": "one", "media_type": "image", "step": "61"}
        client.post(f"/v1/runs/{made}/media", params=params, content=png(9, 9, 9))
        new_trace(client, "shared-rollout", run_id=made, rollout_step=1)
        text = "[there](https://elsewhere.invalid/?a=b) ![it](https://elsewhere.invalid/pixel.png) https://elsewhere.invalid/"
        post(client, "/v1/spans", {"traces": [], "spans": [span(0, "shared-rollout", attributes={"text": text})]})
        return made


@pytest.fixture
def token(visitor: Visitor, house: House, run: str) -> Iterator[str]:
    """A link's token, and a browser that nobody is signed in with."""
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as owner:
        assert owner.post("/signin", data={"key": house.key}).status_code == 200
        page = owner.post("/shares", data={"kind": "run", "id": run, "days": "7"}).text
    found = re.search(r"\?t=(share_[\w-]+)<", page)
    assert found
    cookies = visitor.driver.get_cookies()
    visitor.leave()
    yield found[1]
    visitor.driver.delete_all_cookies()
    for cookie in cookies:
        visitor.driver.add_cookie(cookie)


def seen(visitor: Visitor, token: str, many: int) -> bool:
    """So many pictures at least are there, all of them loaded, all by the token."""
    found = [one for one in visitor.run(SHOWN) if one[1] > 0]
    return len(found) >= many and {one[0] for one in found} == {token}


@pytest.mark.parametrize("query,many", [("", 2), ("&view=grid", 3), ("&key=many", 3)])
def test_pictures_are_shown_in_every_view(visitor: Visitor, run: str, token: str, query: str, many: int) -> None:
    visitor.open(f"/r/{run}/media?t={token}{query}")
    visitor.wait("document.readyState === 'complete'")

    wait_until(lambda: seen(visitor, token, many), what=lambda: f"pictures: {visitor.run(SHOWN)}")
    assert visitor.troubles() == []
    inward = visitor.run(
        "return [...document.querySelectorAll('main a[href*=\"/media\"], .tabs a')].map((one) => one.href)"
    )
    assert inward
    assert all(f"t={token}" in one for one in inward)


def test_one_large_and_the_next_page_are_shown_too(visitor: Visitor, run: str, token: str) -> None:
    visitor.open(f"/r/{run}/media?t={token}")
    visitor.wait("document.querySelector('.open img')?.naturalWidth === 32")
    visitor.find(".open").click()
    visitor.wait("document.querySelector('#large-stage img')?.naturalWidth === 32")
    visitor.open(f"/r/{run}/media?t={token}&key=many")
    visitor.find(".pager a").click()
    visitor.wait("document.querySelectorAll('.grid img').length === 2")
    visitor.wait("[...document.querySelectorAll('.grid img')].every((one) => one.naturalWidth === 32)")
    assert visitor.troubles() == []


@pytest.mark.parametrize("path", ["/links", "/rollouts?open={trace}&step=1"])
def test_the_token_goes_to_no_other_place(visitor: Visitor, house: House, run: str, token: str, path: str) -> None:
    with house.client() as client:
        trace = client.get(f"/v1/runs/{run}/rollouts").json()["rollouts"][0]["id"]
    address = f"/r/{run}{path.format(trace=trace)}"
    address = f"{address}{'&' if '?' in address else '?'}t={token}"
    visitor.open(address)
    outward = visitor.run(OUTWARD)
    assert len(outward) >= 2
    for href, rel in outward:
        assert token not in href
        assert {"noreferrer", "noopener"} <= set(rel.split())
    assert httpx.get(house.url + address).headers["referrer-policy"] == "no-referrer"
    requested = visitor.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(one.startswith(house.url) for one in requested)
    assert visitor.troubles() == []
