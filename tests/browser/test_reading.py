"""Everybody can read the pages: contrast, names of controls, headings, focus, in both themes."""

from __future__ import annotations

import json

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import THEMES, Visitor
from tests.support.house import new_run, point, post
from tests.support.pictures import png

PATHS = ("/?q=reading", "/r/{run}", "/compare?run={run}", "/r/{run}/media", "/r/nope", "/?q=none+such")

# Every text with less contrast to what lies behind it than AA asks for, as [text, ratio].
FAINT = """
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parse = (text) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map((part) => part / 255);
  };
  const light = (rgb) => rgb.slice(0, 3).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return parse("Canvas");
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest("noscript, :disabled, .sr, .skip")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(behind(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < wanted) found.push([text.slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return found;"""

NAMELESS = """
  return [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, canvas[tabindex], img, video, audio")]
    .filter((one) => one.checkVisibility())
    .filter((one) => !(one.getAttribute("aria-label") || one.innerText?.trim() || one.alt ||
      [...(one.labels ?? [])].some((label) => label.textContent.trim())))
    .map((one) => one.outerHTML.slice(0, 120));"""


@pytest.fixture
def run(client: httpx.Client) -> str:
    made = new_run(client, "reading", project="reading", config={"a": 1})
    for attempt in (1, 2):
        points = [point(step, step / 7, key) for key in ("loss", "system/cpu.util_pct") for step in range(9)]
        post(client, f"/v1/runs/{made}/metrics", {"points": points}, X_Tracehouse_Attempt=str(attempt))
    params = {"key": "sample", "media_type": "image", "caption": "a square", "step": "3"}
    client.post(f"/v1/runs/{made}/media", params=params, content=png(9, 99, 199), headers={"content-type": "image/png"})
    return made


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", PATHS)
def test_texts_have_contrast_and_controls_have_names(visitor: Visitor, run: str, path: str, theme: str) -> None:
    visitor.open(path.format(run=run), theme=theme)
    visitor.wait("document.readyState === 'complete'")
    assert visitor.run(FAINT) == []
    assert visitor.run(NAMELESS) == []
    levels = visitor.run("return [...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))


@pytest.mark.parametrize("status", ["running", "finished", "failed", "crashed", "killed"])
@pytest.mark.parametrize("theme", THEMES)
def test_every_status_can_be_read(visitor: Visitor, client: httpx.Client, theme: str, status: str) -> None:
    run = new_run(client, f"status-{status}")
    if status != "running":
        client.patch(f"/v1/runs/{run}", content=json.dumps({"status": status}))
    visitor.open(f"/r/{run}/config", theme=theme)
    assert visitor.texts("#head .status") == [status]
    assert visitor.run(FAINT) == []


def test_the_keyboard_reaches_the_content_first(visitor: Visitor, run: str) -> None:
    visitor.open(f"/r/{run}")
    visitor.find("body").send_keys(Keys.TAB)
    focused = visitor.driver.switch_to.active_element
    assert focused.text == "Skip to content"
    assert visitor.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    focused.send_keys(Keys.ENTER)
    assert visitor.driver.current_url.endswith("#main")
