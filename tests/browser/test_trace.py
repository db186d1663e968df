"""A conversation in a real browser: read, folded, searched, followed while it goes on, and harmless whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import LOOKS, Visitor
from tests.support.hostile import HOSTILE
from tests.support.house import new_trace, post, span

KINDS = ("user_msg", "assistant_msg", "thinking", "tool_use", "tool_result", "attachment")
LONG = "\n\n".join(f"Paragraph {at}: it goes on with `model.layers[{at}]`." for at in range(60))
ANSWER = """It is **four**.

| name | size |
|:-----|-----:|
| a.py | 1200 |

```python
def add(a: int, b: int) -> int:
    return a + b
```

![a picture elsewhere](https://elsewhere.example/pixel.png)
"""


def talk(client: httpx.Client, session: str = "talk", **fields: Any) -> str:
    trace = new_trace(client, session, task_name="What is two and two?", **fields)
    call = {"tool_input": {"command": "echo $((2+2))"}, "call_id": "c1"}
    said = (
        ("user_msg", "user message", {"text": "What is two and two?"}),
        ("thinking", "thinking", {"text": "It is a sum. " * 40}),
        ("tool_use", "Bash", call),
        ("tool_result", "Bash", {"result_text": "4", "call_id": "c1"}),
        ("assistant_msg", "assistant message", {"text": ANSWER}),
        ("assistant_msg", "assistant message", {"text": LONG}),
    )
    spans = [span(at, session, kind=kind, name=name, attributes=told) for at, (kind, name, told) in enumerate(said)]
    assert post(client, "/v1/spans", {"traces": [], "spans": spans}).is_success
    return trace


@pytest.mark.parametrize("width, theme", LOOKS)
def test_a_conversation_is_read_in_every_size_and_theme(
    visitor: Visitor, client: httpx.Client, width: int, theme: str
) -> None:
    trace = talk(client)
    for view in ("", "/timeline", "/about"):
        visitor.open(f"/t/{trace}{view}", width, theme)
        assert visitor.overflow() <= 0
        assert visitor.troubles() == []
        visitor.shot(f"trace{view.replace('/', '-')}-{width}-{theme}")


def test_a_conversation_is_told_by_roles_and_a_call_has_its_result(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/t/{talk(client)}")
    assert visitor.texts(".turn .who") == ["User", "Thinking", "Tool", "Assistant", "Assistant"]
    tool = visitor.find(".turn.tool").text
    assert "echo $((2+2))" in tool
    assert "4" in visitor.find(".turn.tool .result").text
    assert visitor.texts(".md table td") == ["a.py", "1200"]
    assert visitor.find(".elsewhere").get_attribute("href") == "https://elsewhere.example/pixel.png"
    assert visitor.all(".turn img") == []


def test_thinking_and_long_texts_unfold_by_keyboard(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/t/{talk(client)}")
    for fold in (".turn.thinking details", ".turn.assistant details.long"):
        assert not visitor.find(fold).get_property("open")
        closed = visitor.find(f"{fold} .md").size["height"]
        visitor.find(f"{fold} > summary").send_keys(Keys.ENTER)
        visitor.wait(f"document.querySelector('{fold}').open")
        parent = visitor.find(fold).size["height"]
        assert parent >= visitor.find(f"{fold} .md").size["height"] >= closed


def test_the_json_of_a_span_is_one_click_away(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/t/{talk(client)}")
    visitor.find(".turn.tool a[data-raw]").click()
    visitor.wait("document.querySelector('.turn.tool .json')")
    raw = json.loads(visitor.find(".turn.tool .json").get_property("textContent"))
    assert (raw["id"], raw["attributes"]["call_id"]) == ("span-2", "c1")
    visitor.find(".turn.tool a[data-raw]").click()
    visitor.wait("!document.querySelector('.turn.tool .json')")


def test_search_finds_marks_and_unfolds(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/t/{talk(client)}")
    visitor.find("[data-search]").send_keys("layers[59]")
    visitor.wait("document.querySelectorAll('.turn').length === 1 && CSS.highlights.get('found')?.size === 1")
    assert visitor.find(".turn details.long").get_property("open")
    assert "1 span found" in visitor.find("#found").text
    visitor.find("[data-search]").send_keys(Keys.CONTROL + "a", Keys.DELETE)
    visitor.wait("document.querySelectorAll('.turn').length === 5")


def test_new_spans_appear_while_one_reads_and_what_is_open_stays_open(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/t/{talk(client)}")
    visitor.run("document.querySelector('.turn.thinking details').open = true; window.kept = true")
    more = [span(90, "talk", kind="assistant_msg", attributes={"text": "One thing more."})]
    assert post(client, "/v1/spans", {"traces": [], "spans": more}).is_success
    visitor.wait("document.querySelectorAll('.turn').length === 6")
    assert visitor.run("return window.kept && document.querySelector('.turn.thinking details').open")
    visitor.wait("document.querySelector('.turn:last-child .md')?.checkVisibility({ opacityProperty: true })")
    assert visitor.texts(".turn:last-child .md") == ["One thing more."]


def test_a_link_leads_to_its_span(visitor: Visitor, client: httpx.Client) -> None:
    trace = new_trace(client, "far")
    spans = [span(at, "far", attributes={"text": f"text {at}\n" * 5}) for at in range(400)]
    assert post(client, "/v1/spans", {"traces": [], "spans": spans}).is_success
    visitor.open(f"/t/{trace}/timeline")
    href = visitor.run("return [...document.querySelectorAll('.timeline a')].at(-1).getAttribute('href')")
    visitor.open(href)
    visitor.wait("document.querySelector('.turn:target')?.getBoundingClientRect().top < innerHeight")
    assert "text 399" in visitor.find(".turn:target").text


def test_hostile_text_in_every_field_stays_text(visitor: Visitor, client: httpx.Client) -> None:
    name = HOSTILE + "-trace"
    trace = new_trace(client, name, project=HOSTILE, model=HOSTILE, task_name=HOSTILE, scaffold=HOSTILE)
    markdown = f"{HOSTILE}\n\n![x](https://elsewhere.example/a.png) [y](javascript:alert(1))\n\n```{HOSTILE}\ncode\n```\n\ud800"
    told = {
        "text": markdown,
        "result_text": markdown,
        "tool_input": {HOSTILE: HOSTILE},
        "url": "https://elsewhere.example/b.png",
    }
    spans = [span(at, name, kind=kind, name=HOSTILE, status=HOSTILE, attributes=told) for at, kind in enumerate(KINDS)]
    assert post(client, "/v1/spans", {"traces": [], "spans": spans}).is_success
    post(client, f"/v1/traces/{trace}", {})
    client.patch(f"/v1/traces/{trace}", json={"metadata": {HOSTILE: HOSTILE, "reward": HOSTILE}})
    for path in (f"/t/{trace}", f"/t/{trace}/timeline", f"/t/{trace}/about", f"/t/{trace}?q=alert", "/traces"):
        visitor.open(path)
        assert visitor.troubles() == []
        assert HOSTILE.split()[0] in visitor.find("main").text
    visitor.open(f"/t/{trace}")
    visitor.find(".turn a[data-raw]").click()
    visitor.wait("document.querySelector('.turn .json')")
    assert visitor.troubles() == []
    assert (
        visitor.run("return document.querySelectorAll('main script, main style, main iframe, main [onerror]').length")
        == 0
    )
