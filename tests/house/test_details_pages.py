"""Config, environment, artifacts, links, model card: as tables, and two runs against each other."""

from __future__ import annotations

import re

import httpx

from tests.support.house import new_run, post
from tracehoused.house.pages.tables import flat, lines


def test_nested_values_become_paths() -> None:
    value = {"lr": 0.1, "model": {"layers": 2, "tags": ["a", "b"]}, "gpus": [{"name": "x"}], "empty": {}, "n": None}
    assert flat(value) == {
        "lr": "0.1",
        "model.layers": "2",
        "model.tags": '["a", "b"]',
        "gpus.0.name": "x",
        "empty": "{}",
        "n": "null",
    }


def test_two_values_are_compared_line_by_line() -> None:
    found = lines({"a": 1, "b": 2}, {"b": 3, "c": 4}, compared=True)
    assert [(line.name, line.mine, line.other) for line in found] == [
        ("a", "1", None),
        ("b", "2", "3"),
        ("c", None, "4"),
    ]


def test_two_runs_differ_in_what_is_marked(client: httpx.Client) -> None:
    one = new_run(client, "one", config={"lr": 0.1, "clip": 0.2, "model": {"layers": 2}})
    other = new_run(client, "other", config={"lr": 0.3, "clip": 0.2, "seed": 7})
    page = client.get(f"/r/{one}/config", params={"with": other}).text
    assert "3 differences" in page
    assert len(re.findall(r'<tr class="differs">', page)) == 3
    only = client.get(f"/r/{one}/config", params={"with": other, "only": "differences"}).text
    assert "clip" not in only.split("<tbody>")[1]
    assert "model.<wbr>layers" in only
    assert client.get(f"/r/{one}/config", params={"with": "nothing"}).status_code == 404


def test_runs_whose_charts_are_compared_show_what_of_their_config_differs(client: httpx.Client) -> None:
    ids = [new_run(client, f"c{at}", config={"lr": at, "clip": 0.2, "model": {"layers": 2}}) for at in range(3)]
    ids.append(new_run(client, "bare"))

    def shown(*runs: str) -> str:
        return client.get("/compare", params={"run": runs}).text

    three = shown(*ids[:3])
    assert "1 of 3 values differ" in three
    assert re.findall(r"<code>(.*?)</code>", three.split("<tbody>")[1].split("</tbody>")[0]) == ["0", "1", "2"]
    assert "3 of 3 values differ" in shown(ids[0], ids[3])
    assert "all 3 values are the same" in shown(
        ids[0], new_run(client, "c", config={"lr": 0, "clip": 0.2, "model": {"layers": 2}})
    )
    for one in (shown(ids[0]), shown(ids[3], new_run(client, "bare too"))):
        assert "Config:" not in one


def test_the_newest_environment_and_every_artifact_are_shown(client: httpx.Client) -> None:
    run = new_run(client)
    for python in ("3.10", "3.12"):
        post(client, f"/v1/runs/{run}/artifacts", {"name": "environment", "kind": "json", "data": {"python": python}})
    post(client, f"/v1/runs/{run}/artifacts", {"name": "notes", "kind": "text", "data": "a note"})
    page = client.get(f"/r/{run}/environment").text
    assert "3.12" in page
    assert "3.10" not in page.split("<tbody>")[1]
    assert "a note" in client.get(f"/r/{run}/artifacts").text


def test_only_names_that_can_be_on_the_hub_become_links(client: httpx.Client) -> None:
    run = new_run(client, "hub", hf_model="org/model", hf_dataset="javascript:alert(1)//x/y/../")
    page = client.get(f"/r/{run}/links").text
    assert 'href="https://huggingface.co/org/model"' in page
    assert not re.search(r'href="[^"]*javascript', page)
    assert "Model card" in page
    assert "<h1>hub</h1>" in page


def test_artifacts_and_links_of_two_runs_are_compared(client: httpx.Client) -> None:
    one, other = (new_run(client, name, hf_model=f"org/{name}") for name in ("first", "second"))
    for run, size in ((one, 1), (one, 2), (other, 3)):
        post(client, f"/v1/runs/{run}/artifacts", {"name": "params", "kind": "json", "data": {"size": size, "same": 0}})
    assert f'value="{other}"' in client.get(f"/r/{one}/artifacts").text
    page = client.get(f"/r/{one}/artifacts", params={"with": other}).text
    assert "1 difference<" in page
    assert re.search(r"params.<wbr>size</th>\s*<td><code>2</code></td><td><code>3</code></td>", page)
    page = client.get(f"/r/{one}/links", params={"with": other}).text
    assert re.search(r"hf_model</th>\s*<td><code>org/first</code></td><td><code>org/second</code></td>", page)
