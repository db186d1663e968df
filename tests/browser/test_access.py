"""Every page for everybody: axe-core finds nothing against WCAG 2.1 AA, nothing is cut off or jumps, and keys do what a mouse does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.browser import WIDTHS, Visitor
from tests.support.house import House
from tests.support.lanes import needs_module
from tests.support.showcase import Shown, fill

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


ON_THE_WAY = """
  const here = document.activeElement;
  const seen = getComputedStyle(here).outlineStyle !== "none" || here.matches(".choice input, .spread a");
  return [here.matches(arguments[0]), seen ? "" : here.outerHTML];"""


def press(visitor: Visitor, key: str) -> None:
    """On the keyboard, whatever has the focus: a table that draws itself again puts other elements in their places."""
    ActionChains(visitor.driver).send_keys(key).perform()


def tab_to(visitor: Visitor, selector: str) -> None:
    """Press Tab until such an element is reached, each step of the way visibly focused."""
    for _ in range(80):
        press(visitor, Keys.TAB)
        is_there, unseen = visitor.run(ON_THE_WAY, selector)
        assert not unseen
        if is_there:
            return
    raise AssertionError(f"no {selector} on the way")


def test_runs_are_chosen_and_compared_by_keys_alone(visitor: Visitor, shown: Shown) -> None:
    visitor.open("/?q=showcase")
    press(visitor, "/")
    visitor.wait("document.activeElement.name === 'q'")
    tab_to(visitor, f"input[value='{shown.run}']")
    press(visitor, Keys.SPACE)
    visitor.wait("!document.getElementById('go').disabled")
    tab_to(visitor, "#go")
    press(visitor, Keys.ENTER)
    visitor.wait("location.pathname === '/compare'")


def test_a_rollout_is_opened_by_keys_alone(visitor: Visitor, shown: Shown) -> None:
    visitor.open(f"/r/{shown.run}/rollouts?step=1")
    tab_to(visitor, "a.sample")
    press(visitor, Keys.ENTER)
    visitor.wait("document.querySelector('.pane .turn')")
    visitor.wait("document.activeElement.matches('.samples .open .sample')")
    press(visitor, "j")
    visitor.wait("document.querySelectorAll('.samples li')[1].classList.contains('open')")
