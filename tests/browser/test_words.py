"""Metrics that are texts, tables or dicts: they stay in their places, and all of them can be read."""

from __future__ import annotations

import httpx
import pytest

from tests.support.browser import Visitor
from tests.support.house import new_run, once, point, post

TEXT = ("The quick brown fox " * 40).strip()
HISTOGRAM = {"_type": "histogram", "counts": [0, 1] * 64, "bins": [at / 32 for at in range(129)]}
VALUES = {"text": TEXT, "grads": HISTOGRAM, "eval": {"top1": 0.5}, "loss": 0.5}


def log(client: httpx.Client, name: str, step: int = 0, attempt: int = 0) -> str:
    run = new_run(client, name)
    points = [point(step, value, key) for key, value in VALUES.items()]
    headers = once(run, step + 1, step + len(points), attempt=attempt)
    assert post(client, f"/v1/runs/{run}/metrics", {"points": points}, **headers).is_success
    return run


def inside(visitor: Visitor, part: str, whole: str) -> bool:
    script = """
      return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility()).every((one) => {
        const [part, whole] = [one.getBoundingClientRect(), one.closest(arguments[1]).getBoundingClientRect()];
        return part.left >= whole.left - 1 && part.right <= whole.right + 1;
      });"""
    return bool(visitor.run(script, part, whole))


@pytest.mark.parametrize("width, theme", [(375, "dark"), (1280, "light")])
def test_long_values_stay_in_their_cards(visitor: Visitor, client: httpx.Client, width: int, theme: str) -> None:
    run, other = log(client, "words-one"), log(client, "words-two")
    for path in (f"/r/{run}", f"/compare?run={run}&run={other}"):
        visitor.open(path, width, theme)
        visitor.wait("document.querySelector('.chart[data-key=loss] canvas')")
        assert visitor.run("return window.shifted") < 0.01
        visitor.run("document.querySelectorAll('.values').forEach((one) => (one.open = true))")
        assert visitor.overflow() <= 0
        assert inside(visitor, ".now, .larger, .words, h3", ".chart")
        assert visitor.troubles() == []
    visitor.shot(f"words-{width}-{theme}")


def test_what_has_no_numbers_is_told_in_words_and_whole(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/r/{log(client, 'words-whole')}")
    visitor.wait("document.querySelector('.chart[data-key=loss] canvas')")
    assert visitor.texts(".chart[data-key=eval] .words") == ['{"top1": 0.5}']
    assert visitor.texts(".chart[data-key=text] .words") == [TEXT]
    assert not visitor.find(".chart[data-key=eval] .plot").is_displayed()
    assert visitor.all(".chart[data-key=loss] .words") == []
    assert visitor.find(".chart[data-key=text] .last").get_attribute("title") == TEXT


def test_a_text_after_numbers_leaves_their_chart(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client, "words-after")
    points = [point(at, value) for at, value in enumerate((1.0, 2.0, TEXT))]
    assert post(client, f"/v1/runs/{run}/metrics", {"points": points}).is_success
    visitor.open(f"/r/{run}")
    visitor.wait("document.querySelector('.chart[data-key=loss] canvas')")
    assert visitor.find(".chart[data-key=loss] .plot").is_displayed()
    assert not visitor.find(".chart[data-key=loss] .words").is_displayed()
    assert inside(visitor, ".now, h3", ".chart")
    assert visitor.overflow() <= 0


def test_new_words_appear_by_themselves(visitor: Visitor, client: httpx.Client) -> None:
    run = log(client, "words-live")
    visitor.open(f"/r/{run}")
    visitor.wait("document.querySelector('[data-key=eval] .words')")
    more = {"points": [point(1, {"top1": 0.75}, "eval")]}
    assert post(client, f"/v1/runs/{run}/metrics", more, **once(run, 9, 9)).is_success
    visitor.wait("document.querySelector('[data-key=eval] .words').innerText.includes('0.75')")
    assert visitor.texts(".chart[data-key=eval] .words") == ['{"top1":0.75}']


def test_long_values_stay_in_their_columns(visitor: Visitor, client: httpx.Client) -> None:
    log(client, "words-listed")
    visitor.open("/?q=words-listed&metric=text&metric=grads&metric=eval")
    widths = visitor.run("return [...document.querySelectorAll('#list td.last')].map((one) => one.offsetWidth)")
    assert len(widths) == 3
    assert max(widths) < 260
    assert visitor.find("#list td.last").get_attribute("title") == TEXT
    assert visitor.overflow() <= 0


def test_long_names_stay_in_the_list_to_compare_with(visitor: Visitor, client: httpx.Client) -> None:
    run, other = (new_run(client, f"words-named-{at}", name="named " * 20, config={"lr": at}) for at in range(2))
    visitor.open(f"/r/{run}/config?with={other}", 375)
    assert visitor.overflow() <= 0
