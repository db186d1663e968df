"""A trace as a conversation: turns, joined calls, Markdown that does no harm, the place of each span."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from markupsafe import Markup

from tests.support.house import House, new_run, new_trace, post, span
from tracehoused.house.pages.conversation import turns_of
from tracehoused.house.pages.highlight import code
from tracehoused.house.pages.markdown import html_of
from tracehoused.house.pages.timeline import rows_of

TIMES = [f"2026-01-02T03:04:0{at}.000000Z" for at in range(10)]


def said(number: int, kind: str, name: str = "Bash", **fields: Any) -> tuple[int, dict[str, Any]]:
    attributes = fields.pop("attributes", {"text": f"text {number}"})
    known = {"id": f"span-{number}", "kind": kind, "name": name, "start_at": TIMES[number], "attributes": attributes}
    return number, {**known, **fields}


def test_a_result_joins_its_call_by_parent_by_call_id_or_by_name() -> None:
    calls = [said(at, "tool_use", attributes={"tool_input": {}, "call_id": f"c{at}"}) for at in (1, 2, 3)]
    results = [
        said(4, "tool_result", parent_span_id="span-2", attributes={"result_text": "two"}),
        said(5, "tool_result", attributes={"result_text": "three", "call_id": "c3"}),
        said(6, "tool_result", attributes={"result_text": "one"}),
        said(7, "tool_result", attributes={"result_text": "nobody asked"}),
    ]
    turns = turns_of([*calls, *results])
    assert [turn.result.text if turn.result else None for turn in turns] == ["one", "two", "three", "nobody asked"]
    assert [turn.result_n for turn in turns] == [6, 4, 5, 7]
    assert turns[0].lasted == 5.0


def test_a_call_without_its_result_waits_and_an_error_fails() -> None:
    call, failed = turns_of(
        [said(1, "tool_use", attributes={"tool_input": {"a": 1}}), said(2, "tool_use", status="error")]
    )
    assert (call.waits, call.failed) == (True, False)
    assert (failed.waits, failed.failed) == (True, True)


def test_images_are_shown_where_they_are_at_hand_and_named_where_they_are_not() -> None:
    attributes = {
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        "parts": [{"image_url": {"url": "https://elsewhere.example/x.png"}}],
        "svg": "data:image/svg+xml;base64,PHN2Zy8+",
        "broken": 'data:image/png;base64,"onerror=alert(1)',
        "held": "/v1/media/0123456789abcdef",
    }
    [turn] = turns_of([said(1, "attachment", attributes=attributes)])
    assert [(image.address[:22], image.shown) for image in turn.images] == [
        ("data:image/png;base64,", True),
        ("/v1/media/0123456789ab", True),
        ("https://elsewhere.exam", False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "![x](https://elsewhere.example/pixel.png)",
        "![x](data:image/svg+xml;base64,PHN2Zy8+)",
        '```"><script>alert(1)</script>\ncode\n```',
        "<style>*{display:none}</style>",
        "| a |\n| -: |\n| <b onclick=x> |",
        "\ud800\x00<svg/onload=alert(1)>",
    ],
)
def test_markdown_of_strangers_does_no_harm(text: str) -> None:
    html = str(html_of(text))
    assert not re.search(r"<(script|style|svg|iframe|form|input|b|img)\b", html)
    assert not re.search(r"<[^>]*(\son\w+=|style=|javascript:)", html)
    assert not re.search(r'<[^>]*src="https?:', html)
    assert all('rel="noopener noreferrer nofollow ugc"' in link for link in re.findall(r"<a [^>]*>", html))


def test_code_is_coloured_by_classes() -> None:
    assert '<span class="h-k">def</span>' in html_of("```python\ndef f(): pass\n```")


def test_code_that_was_made_to_be_slow_is_shown_without_colours() -> None:
    assert code("a\n" * 10_000, "java") == Markup("a\n" * 10_000)


def test_a_house_answers_others_while_it_makes_a_page_that_takes_long(client: httpx.Client, house: House) -> None:
    trace = new_trace(client)
    slow = span(0, attributes={"text": "[" * 99_000})
    assert post(client, "/v1/spans", {"traces": [], "spans": [slow]}).is_success
    with ThreadPoolExecutor(1) as threads, house.client() as other:
        page = threads.submit(client.get, f"/t/{trace}")
        for _ in range(10):
            assert other.get("/v1/runs").is_success
        assert not page.done()
        assert page.result().is_success


def test_a_timeline_is_a_tree_and_survives_circles() -> None:
    class Line:
        def __init__(self, n: int, parent: str | None) -> None:
            self.n, self.id, self.kind, self.name, self.status = n, f"span-{n}", "user_msg", "x", None
            self.start_at, self.end_at, self.parent_span_id = TIMES[n], None, parent

    rows = rows_of([Line(1, None), Line(2, "span-3"), Line(3, "span-1"), Line(4, "span-5"), Line(5, "span-4")])
    assert [(row.n, row.depth) for row in rows] == [(1, 0), (3, 1), (2, 2), (4, 0), (5, 0)]


def test_every_span_of_a_long_trace_has_an_address_and_is_found(client: httpx.Client) -> None:
    trace_id = new_trace(client, "long")
    spans = [span(at, "long", attributes={"text": f"word{at} ünder"}) for at in range(700)]
    assert post(client, "/v1/spans", {"traces": [], "spans": spans}).is_success
    page = client.get(f"/t/{trace_id}").text
    places = [int(place) for place in re.findall(r'<article class="turn user" id="s(\d+)"', page)]
    assert len(places) == 300
    assert 'rel="next"' in page
    last = client.get(f"/t/{trace_id}", params={"at": places[0] + 650}).text
    assert f'id="s{places[0] + 650}"' in last
    assert 'rel="prev"' in last
    found = client.get(f"/t/{trace_id}", params={"q": "WORD650 "}).text
    assert re.findall(r"word(\d+)", found.split('id="talk"')[1]) == ["650"]
    assert "700 spans found, the first 200 shown" in client.get(f"/t/{trace_id}", params={"q": "ünder"}).text
    raw = client.get(f"/t/{trace_id}/spans/{places[5]}").text
    assert "span-5" in raw
    assert client.get(f"/t/{trace_id}/spans/{places[0] + 10**9}").status_code == 404
    assert client.get(f"/t/{trace_id}/timeline").status_code == 200


def test_the_list_of_traces_filters_and_tells_what_to_do_when_nothing_fits(client: httpx.Client) -> None:
    first = new_trace(client, "listed-1", project="listed", task_name="find the needle")
    new_trace(client, "listed-2", project="listed")
    client.patch(f"/v1/traces/{first}", json={"outcome": "good"})
    for params in ({"q": "needle"}, {"project": "listed", "outcome": "good"}):
        page = client.get("/traces", params=params).text
        assert f"/t/{first}" in page
        assert "listed-2" not in page
    assert "No trace fits" in client.get("/traces", params={"q": "nothing is called so"}).text


def test_traces_are_found_by_what_was_said_in_them(client: httpx.Client) -> None:
    said = {"refunds": "Wo bleibt meine Rückerstattung?", "greetings": "100% hello_world", "neither": "…"}
    ids = {name: new_trace(client, name) for name in said}
    for name, text in said.items():
        post(client, "/v1/spans", {"traces": [], "spans": [span(1, name, attributes={"text": text})]})
    hidden = new_trace(client, "of a run", run_id=new_run(client))
    post(client, "/v1/spans", {"traces": [], "spans": [span(1, "of a run", attributes={"text": "Rückerstattung"})]})

    def found(word: str) -> set[str]:
        page = client.get("/traces", params={"q": word, "in": "said"}).text
        assert hidden not in page
        return {name for name, trace in ids.items() if f'href="/t/{trace}?q=' in page}

    assert found("rückerstattung") == found("wo BLEIBT") == {"refunds"}
    assert (found("0% h"), found("o_w"), found("refunds")) == ({"greetings"}, {"greetings"}, set())
    assert "as far as the newest 100,000 spans tell" in client.get("/traces", params={"q": "never", "in": "said"}).text
