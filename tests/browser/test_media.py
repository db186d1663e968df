"""The media of a run, in a real browser."""

from __future__ import annotations

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import LOOKS, Visitor
from tests.support.house import new_run
from tests.support.pictures import png, wav


def upload(client: httpx.Client, run: str, key: str, step: int | None, content: bytes = b"", **more: str) -> None:
    media_type, mime = more.pop("media_type", "image"), more.pop("mime", "image/png")
    params = {"key": key, "media_type": media_type, **more, **({} if step is None else {"step": str(step)})}
    body = content or png((step or 0) * 2 % 256, 90, 160)
    answer = client.post(f"/v1/runs/{run}/media", params=params, content=body, headers={"content-type": mime})
    assert answer.is_success, answer.text


def shelf(visitor: Visitor, key: str, part: str) -> list[str]:
    return visitor.texts(f'.shelf[data-key="{key}"] {part}')


@pytest.mark.parametrize("width, theme", LOOKS)
def test_media_are_shown_in_every_size_and_theme(
    visitor: Visitor, client: httpx.Client, width: int, theme: str
) -> None:
    run = new_run(client)
    for step in (0, 10, 20):
        upload(client, run, "eval/sample", step, caption=f"at {step}")
        upload(client, run, "eval/sample", step, png(200, 60, step), caption=f"another at {step}")
    upload(client, run, "sound", 10, wav(), media_type="audio", mime="audio/wav")
    upload(client, run, "report", 10, b"<p>hello</p>", media_type="html", mime="text/html")
    visitor.open(f"/r/{run}/media", width, theme)
    visitor.wait("[...document.querySelectorAll('.shelf img')].every((one) => one.complete && one.naturalWidth === 32)")
    assert shelf(visitor, "eval/sample", "figcaption") == ["at 20", "another at 20"]
    visitor.shot(f"media-{width}-{theme}")
    assert visitor.overflow() <= 0
    assert visitor.troubles() == []


def test_one_slider_goes_over_all_keys_and_the_exact_step_is_told(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    for step in (0, 10, 20):
        upload(client, run, "often", step, caption=f"often {step}")
    upload(client, run, "seldom", 15, caption="seldom 15")
    visitor.open(f"/r/{run}/media")
    assert shelf(visitor, "often", ".at") == ["step 20"]
    visitor.wait("document.querySelector('.shelf[data-key=seldom] .at').innerText === 'step 15 (the last before)'")
    visitor.find("body").send_keys(Keys.ARROW_LEFT)
    visitor.wait("document.querySelector('.shelf[data-key=often] .at').innerText === 'step 10 (the last before)'")
    assert shelf(visitor, "seldom", ".at") == ["step 15"]
    assert shelf(visitor, "often", "figcaption") == ["often 10"]
    visitor.find("#before").click()
    visitor.wait("location.search === '?step=10'")
    assert shelf(visitor, "seldom", ".at") == ["step 15 (the first)"]
    visitor.driver.refresh()
    visitor.wait("document.querySelector('.shelf[data-key=often] .at').innerText === 'step 10'")


def test_nothing_is_left_out_in_the_grid(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    for step in range(70):
        upload(client, run, "many", step)
    visitor.open(f"/r/{run}/media?view=grid")
    visitor.wait("document.querySelectorAll('.shelf figure').length >= 60")
    visitor.run("document.querySelector('.shelf').scrollIntoView(false)")
    visitor.wait("document.querySelectorAll('.shelf figure').length === 70")
    steps = [text.split("\n")[0] for text in visitor.texts(".shelf figcaption b")]
    assert steps == [f"step {at}" for at in range(70)]
    visitor.shot("media-grid")


def test_a_step_with_many_samples_shows_them_all(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    for sample in range(12):
        upload(client, run, "samples", 5, png(sample * 20, 0, 0), caption=f"sample {sample}")
    visitor.open(f"/r/{run}/media")
    visitor.wait("document.querySelectorAll('.shelf figure').length === 12")
    captions = visitor.run("return [...document.querySelectorAll('.shelf figcaption')].map((one) => one.textContent)")
    assert [text.strip() for text in captions] == [f"sample {at}" for at in range(12)]
    visitor.shot("media-samples")


def test_one_large_goes_through_the_steps(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    for step in (3, 6, 9):
        upload(client, run, "large", step, caption=f"caption {step}")
    visitor.open(f"/r/{run}/media")
    visitor.wait("document.querySelector('.shelf .open')")
    visitor.find(".shelf .open").click()
    assert visitor.find("#large-at").text == "step 9 · 3 of 3"
    visitor.find("dialog").send_keys(Keys.ARROW_LEFT)
    visitor.wait("document.getElementById('large-at').textContent === 'step 6 · 2 of 3'")
    assert visitor.find("#large-caption").text == "caption 6"
    visitor.wait("document.querySelector('#large-stage img').complete")
    visitor.shot("media-large")
    visitor.find("dialog").send_keys(Keys.ESCAPE)
    visitor.wait("!document.querySelector('dialog').open")
    assert visitor.troubles() == []


def test_sounds_and_films_have_controls_and_pages_are_only_downloads(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    upload(client, run, "sound", 1, wav(), media_type="audio", mime="audio/wav")
    upload(client, run, "film", 1, b"\0" * 64, media_type="video", mime="video/mp4")
    upload(client, run, "page", 1, b"<script>document.title='ran'</script>", media_type="html", mime="text/html")
    visitor.open(f"/r/{run}/media")
    visitor.wait("document.querySelector('audio') && document.querySelector('audio').readyState >= 1")
    assert visitor.run("return document.querySelector('audio').controls && document.querySelector('video').controls")
    assert visitor.driver.find_elements(By.CSS_SELECTOR, "iframe, object, embed") == []
    assert visitor.find(".file").get_attribute("download") is not None


def test_new_media_appear_by_themselves(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    upload(client, run, "grows", 1)
    visitor.open(f"/r/{run}/media")
    visitor.wait("document.querySelector('.shelf .at').innerText === 'step 1'")
    upload(client, run, "grows", 2)
    visitor.wait("document.querySelector('.shelf .at').innerText === 'step 2'")
    upload(client, run, "begins", 3)
    shown = "[...document.querySelectorAll('.shelf .at')].map((at) => at.innerText)"
    visitor.wait(f"{shown}.join() === 'step 3,step 2 (the last before)'")
    assert visitor.texts(".shelf h2") == ["begins", "grows"]
    assert visitor.texts(".shelf .many") == ["1 in all", "2 in all"]


def test_the_first_media_take_the_place_of_the_advice(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    visitor.open(f"/r/{run}/media")
    assert visitor.find(".nothing")
    upload(client, run, "first", 1)
    visitor.wait("document.querySelector('.shelf .at')?.innerText === 'step 1'")
    assert visitor.troubles() == []


def test_without_media_the_page_says_what_to_do(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/r/{new_run(client)}/media", 375)
    assert "run.log_image(" in visitor.find(".nothing").text
    assert visitor.troubles() == []


def test_what_a_caption_tells_is_told_apart(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    for attempt in ("1", "2"):
        params = {"key": "tries", "media_type": "image", "step": "180", "caption": "step 180"}
        headers = {"content-type": "image/png", "X-Tracehouse-Attempt": attempt}
        client.post(f"/v1/runs/{run}/media", params=params, content=png(80, 90, int(attempt)), headers=headers)
    visitor.open(f"/r/{run}/media")
    visitor.wait("document.querySelector('.shelf figcaption').innerText.startsWith('attempt')")
    assert shelf(visitor, "tries", "figcaption") == ["attempt 1 · step 180", "attempt 2 · step 180"]
    visitor.find("input[value=grid]").find_element(By.XPATH, "..").click()
    visitor.wait("document.querySelector('.shelf figcaption b')")
    assert shelf(visitor, "tries", "figcaption")[0].endswith("attempt 1 · step 180")
