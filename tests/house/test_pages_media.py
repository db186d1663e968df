"""A run's media, as pages without scripts show them."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from tests.support.house import House, new_run
from tests.support.pictures import png
from tracehoused.house.store import gallery
from tracehoused.house.store.schema import media
from tracehoused.house.store.store import Store


def upload(client: httpx.Client, run: str, key: str, step: int | None, caption: str = "") -> None:
    params = {"key": key, "media_type": "image", "caption": caption, **({} if step is None else {"step": str(step)})}
    content = png(0 if step is None else step % 256, 0, 0)
    assert client.post(f"/v1/runs/{run}/media", params=params, content=content).is_success


def test_each_key_shows_its_last_step_and_how_many_there_are(client: httpx.Client) -> None:
    run = new_run(client)
    for step in (1, 5):
        upload(client, run, "a", step, f"caption {step}")
    upload(client, run, "a", 5, "second at 5")
    upload(client, run, "a", 3, "caption 3")
    upload(client, run, "b", None, "no step")
    page = client.get(f"/r/{run}/media").text
    assert re.findall(r"(caption \d|second at 5|no step)</figcaption>", page) == ["caption 5", "second at 5", "no step"]
    assert "step 5</span>" in page
    assert ">4 in all<" in page
    assert "&#34;steps&#34;:[1,3,5]" in page


def _medium(key: str, at: int, step: int | None) -> dict[str, object]:
    known = {"run": 1, "media_type": "image", "mime": "image/png", "sha256": "0" * 64, "size": 1, "attempt": 1}
    return {**known, "id": f"{key}-{at}", "key": key, "step": step, "writer": "w", "created_us": at}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_key_with_many_media_at_its_last_step_leaves_the_others_theirs(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    sqlite = f"sqlite:///{tmp_path / 'house.db'}"
    store = Store(sqlite if kind == "sqlite" else request.getfixturevalue("postgres").url)
    few = [_medium("a", 0, 1), _medium("b", 0, None), _medium("b", 1, None)]
    rows = [*few, *(_medium("many", at, 2) for at in range(500)), _medium("many", 500, 1)]
    store.write(lambda connection: connection.execute(insert(media), rows)).result()
    found = store.read(lambda connection: gallery.last_media(connection, 1, ["a", "b", "many", "none"]))
    store.close()
    assert {key: [one["id"] for one in items] for key, items in found.items()} == {
        "a": ["a-0"],
        "b": ["b-1"],
        "many": [f"many-{at}" for at in range(400, 500)],
        "none": [],
    }


def test_without_scripts_everything_under_a_key_is_there_in_pages(client: httpx.Client) -> None:
    run = new_run(client)
    for step in range(130):
        upload(client, run, "k&x", step)
    steps: list[str] = []
    path: str | None = f"/r/{run}/media?key=k%26x"
    while path:
        page = client.get(path).text
        steps += re.findall(r"<b>step (\d+)</b>", page)
        more = re.search(r'class="button" href="([^"]+)">More<', page)
        path = more[1].replace("&amp;", "&") if more else None
    assert steps == [str(at) for at in range(130)]


def test_films_are_served_by_range(client: httpx.Client) -> None:
    run = new_run(client)
    params = {"key": "film", "media_type": "video"}
    sent = bytes(range(256)) * 8
    client.post(f"/v1/runs/{run}/media", params=params, content=sent, headers={"content-type": "video/mp4"})
    page = client.get(f"/r/{run}/media").text
    match = re.search(r'<video src="([^"]+)" controls', page)
    assert match
    part = client.get(match[1], headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, sent[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(sent)}"


def test_media_pages_need_a_sign_in(house: House, client: httpx.Client) -> None:
    run = new_run(client)
    assert httpx.get(f"{house.url}/r/{run}/media").status_code == 401
    assert client.get("/r/nope/media").status_code == 404
