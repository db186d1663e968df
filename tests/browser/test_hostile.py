"""Hostile text in every field stays text, under the policy and in a real browser."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.browser import Visitor
from tests.support.house import House, new_run, new_trace, point, post, span
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


ELSEWHERE = "https://elsewhere.invalid/pixel.png"
BAIT = "\n\n".join(
    (
        "[one](javascript:alert(1))",
        "[two](JaVaScRiPt:alert(2)) [three](&#106;avascript:alert(3)) [four](vbscript:x) [five](data:text/html,<script>alert(5)</script>)",
        f"![six]({ELSEWHERE}) ![seven](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoNyk+)",
        f'<img src="{ELSEWHERE}" onerror="alert(8)"><a href="javascript:alert(9)">nine</a><iframe src="{ELSEWHERE}"></iframe>',
        f'[ten]: javascript:alert(10)\n\n[ten] <javascript:alert(11)> [twelve]({ELSEWHERE} "\' onmouseover=alert(12)")',
        f"```html\n<script>alert(13)</script>\n```\n\n<style>@import '{ELSEWHERE}'</style><form action='{ELSEWHERE}'><input></form>",
    )
)
LINKS = """
  return [...document.querySelectorAll("main a[href]")].map((one) => one.href.baseVal ?? one.getAttribute("href"))
    .filter((one) => /^[a-z][a-z0-9+.-]*:/i.test(one.trim()) && !/^(https?|mailto):/i.test(one.trim()));"""
FOREIGN = """
  return [...document.querySelectorAll("main :is(img, video, audio, source, iframe, object, embed, form)")]
    .filter((one) => new URL(one.src ?? one.action ?? location.href, location.href).origin !== location.origin
      && !one.src?.startsWith("data:image/")).map((one) => one.outerHTML);"""


@pytest.fixture
def baited(client: httpx.Client) -> dict[str, str]:
    """The server's ids of a run and a rollout, every text of which is bait."""
    run = new_run(client, "baited" + BAIT, config={"notes": BAIT, BAIT: "x"}, project=BAIT)
    post(client, f"/v1/runs/{run}/artifacts", {"name": "card", "kind": "text", "data": BAIT})
    fields = {"hf_model": "javascript:alert(1)", "hf_dataset": "https://elsewhere.invalid/a/b"}
    client.patch(f"/v1/runs/{run}", content=json.dumps(fields), headers={"content-type": "application/json"})
    trace = new_trace(client, "baited", run_id=run, rollout_step=1, task_name=BAIT)
    kinds = ("user_msg", "assistant_msg", "thinking", "tool_use", "tool_result", "attachment")
    told = {"text": BAIT, "result_text": BAIT, "tool_input": {"command": BAIT, BAIT: BAIT}, "url": ELSEWHERE}
    said = [span(at, "baited", kind=kind, name=BAIT, attributes=told) for at, kind in enumerate(kinds)]
    assert post(client, "/v1/spans", {"traces": [], "spans": said}).is_success
    client.patch(f"/v1/traces/{trace}", json={"metadata": {"notes": BAIT, "url": ELSEWHERE}})
    return {"run": run, "trace": trace}


@pytest.mark.parametrize(
    "path",
    [
        "/r/{run}",
        "/r/{run}/config",
        "/r/{run}/artifacts",
        "/r/{run}/links",
        "/r/{run}/rollouts?step=1&open={trace}",
        "/t/{trace}",
        "/t/{trace}/timeline",
        "/t/{trace}/about",
        "/traces",
    ],
)
def test_links_lead_to_pages_only_and_nothing_comes_from_elsewhere(
    visitor: Visitor, house: House, baited: dict[str, str], path: str
) -> None:
    visitor.open(path.format(**baited))
    visitor.wait("document.readyState === 'complete'")
    visitor.run("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert visitor.run(LINKS) == []
    assert visitor.run(FOREIGN) == []
    loaded = visitor.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(one.startswith((house.url, "data:image/")) for one in loaded)
    for link in visitor.all("main a[target=_blank]")[:12]:
        visitor.run(
            "arguments[0].addEventListener('click', (event) => event.preventDefault()); arguments[0].click()", link
        )
    assert visitor.troubles() == []
    assert (
        visitor.run("return document.querySelectorAll('main script, main iframe, main style, main object').length") == 0
    )
