"""Every page for everybody: axe-core finds nothing against WCAG 2.1 AA, nothing is cut off or jumps, and keys do what a mouse does."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import WIDTHS, Visitor
from tests.support.house import House
from tests.support.lanes import needs_module
from tests.support.showcase import Shown, fill
from tests.support.waiting import wait_until

NAMES = list(Shown("r", "o", "t", ["a", "b"]).pages())
LOOKS = ((375, "light"), (1280, "dark"), (2560, "light"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
AXE = """
  const done = arguments[arguments.length - 1];
  axe.run(document, {runOnly: arguments[0], resultTypes: ["violations"]}).then(
    ({violations}) => done(violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`)),
    (error) => done([String(error)]));"""


@pytest.fixture(scope="module")
def shown(house: House) -> Shown:
    with house.client("showcase") as client:
        return fill(client)


@pytest.fixture(scope="module")
def axe() -> str:
    needs_module("axe_core_python", "axe")
    found = importlib.util.find_spec("axe_core_python")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def settled(visitor: Visitor) -> None:
    visitor.wait("document.readyState === 'complete' && !document.querySelector('.chart.loading .plot')?.offsetParent")


def troubles(visitor: Visitor) -> list[str]:
    """But for the answer 404 of the pages that are not there."""
    return [one for one in visitor.troubles() if "404" not in one]


@pytest.mark.parametrize("name", NAMES)
def test_every_page_can_be_read_by_everybody(visitor: Visitor, shown: Shown, axe: str, name: str) -> None:
    """Nothing is cut off, nothing jumps, and axe finds nothing."""
    for width, theme in LOOKS:
        visitor.open(shown.pages()[name], width, theme)
        settled(visitor)
        assert visitor.overflow() <= 0, width
        assert visitor.run("return window.shifted") < 0.05, width
        assert troubles(visitor) == []
        visitor.shot(f"all-{name}-{width}-{theme}")
        if width < max(WIDTHS):
            visitor.driver.execute_script(axe)
            assert visitor.driver.execute_async_script(AXE, RULES) == [], (width, theme)


def tab_to(visitor: Visitor, wanted: Callable[[Any], bool]) -> None:
    """Press Tab until the element is reached, each step of the way visibly focused."""
    for _ in range(80):
        visitor.driver.switch_to.active_element.send_keys(Keys.TAB)
        focused = visitor.driver.switch_to.active_element
        seen = visitor.run("const s = getComputedStyle(arguments[0]); return s.outlineStyle !== 'none'", focused)
        assert seen or visitor.run("return arguments[0].matches('.choice input, .spread a')", focused), (
            focused.get_attribute("outerHTML")
        )
        if wanted(focused):
            return
    raise AssertionError("no such element on the way")


def test_runs_are_chosen_and_compared_by_keys_alone(visitor: Visitor, shown: Shown) -> None:
    visitor.open("/?q=showcase")
    visitor.find("body").send_keys("/")
    wait_until(lambda: visitor.driver.switch_to.active_element.get_attribute("name") == "q", what="the search")
    tab_to(visitor, lambda one: one.get_attribute("value") == shown.run)
    visitor.driver.switch_to.active_element.send_keys(Keys.SPACE)
    tab_to(visitor, lambda one: one.get_attribute("id") == "go")
    visitor.driver.switch_to.active_element.send_keys(Keys.ENTER)
    visitor.wait("location.pathname === '/compare'")


def test_a_rollout_is_opened_by_keys_alone(visitor: Visitor, shown: Shown) -> None:
    visitor.open(f"/r/{shown.run}/rollouts?step=1")
    tab_to(visitor, lambda one: "sample" in (one.get_attribute("class") or "").split())
    visitor.driver.switch_to.active_element.send_keys(Keys.ENTER)
    visitor.wait("document.querySelector('.pane .turn')")
    assert visitor.run("return document.activeElement.matches('.samples .open .sample')")
    visitor.driver.switch_to.active_element.send_keys("j")
    visitor.wait("document.querySelectorAll('.samples li')[1].classList.contains('open')")
