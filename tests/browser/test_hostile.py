"""Hostile text in every field stays text, under the policy and in a real browser."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.browser import Visitor
from tests.support.house import new_run, new_trace, point, post
from tests.support.pictures import png

HOSTILE = "\"'></script><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>{{7*7}}</textarea>"
REMOTE = "<img src=https://remote.invalid/x.png>![x](https://remote.invalid/y.png)<style>*{display:none}</style>"
TEXT = HOSTILE + REMOTE + "javascript:alert(4)\u202e\x00\ud800"


@pytest.fixture
def run(client: httpx.Client) -> str:
    made = new_run(client, TEXT, config={TEXT: TEXT}, project=TEXT)
    points = [point(step, step, key) for key in (TEXT, f"system/{TEXT}", f"{TEXT}/x") for step in range(3)]
    assert post(client, f"/v1/runs/{made}/metrics", {"points": points}).is_success
    params = {"key": HOSTILE + REMOTE, "caption": HOSTILE + REMOTE, "step": "1", "media_type": "image"}
    client.post(f"/v1/runs/{made}/media", params=params, content=png(1, 2, 3), headers={"content-type": "image/png"})
    post(client, f"/v1/runs/{made}/artifacts", {"name": TEXT, "kind": "text", "data": TEXT})
    post(client, f"/v1/runs/{made}/artifacts", {"name": "environment", "kind": "json", "data": {TEXT: TEXT}})
    new_trace(client, TEXT, run_id=made, rollout_step=1, task_name=TEXT, model=TEXT, project=TEXT)
    links = json.dumps({"hf_model": TEXT, "hf_dataset": TEXT})
    client.patch(f"/v1/runs/{made}", content=links, headers={"content-type": "application/json"})
    return made


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/r/{run}",
        "/compare?run={run}",
        "/r/{run}/media",
        "/r/{run}/media?view=grid",
        "/r/{run}/rollouts",
        "/r/{run}/config",
        "/r/{run}/environment",
        "/r/{run}/artifacts",
        "/r/{run}/links",
    ],
)
def test_hostile_text_is_shown_and_does_nothing(visitor: Visitor, run: str, path: str) -> None:
    visitor.open(path.format(run=run))
    visitor.wait("document.readyState === 'complete'")
    assert "<script>alert(1)</script>" in visitor.run("return document.body.innerText + document.title")
    script = """
      return [...document.querySelectorAll("script")].filter((one) => !one.src.startsWith(location.origin + "/static/"))
        .length + document.querySelectorAll("main style, [onerror], [onload]").length;"""
    assert visitor.run(script) == 0
    assert visitor.find("main").is_displayed()
    assert visitor.overflow() <= 0
    visitor.shot("hostile" + path.format(run="run").replace("/", "-").replace("?", "-"))
    assert visitor.troubles() == []


def test_hostile_keys_are_drawn_and_read(visitor: Visitor, run: str) -> None:
    visitor.open(f"/r/{run}")
    visitor.wait("document.querySelectorAll('.chart:not(.loading) canvas').length >= 2")
    visitor.run("document.querySelector('.chart canvas:last-of-type').focus()")
    visitor.driver.switch_to.active_element.send_keys("\ue011")
    visitor.wait("!document.querySelector('.tip').hidden")
    assert visitor.troubles() == []
