"""The table of runs, in a real browser."""

from __future__ import annotations

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import LOOKS, Visitor
from tests.support.house import new_run, new_trace, point, post


def names(visitor: Visitor) -> list[str]:
    return visitor.texts("#list tbody .name")


@pytest.mark.parametrize("width, theme", LOOKS)
def test_the_table_fits_every_size_and_theme(visitor: Visitor, client: httpx.Client, width: int, theme: str) -> None:
    for at, status in enumerate(("running", "finished", "failed", "crashed", "killed")):
        run = new_run(client, f"fits-{at}", project=f"project-{at}")
        post(client, f"/v1/runs/{run}/metrics", {"points": [point(1, at / 3, "reward/mean"), point(1, at, "loss")]})
        if status != "running":
            client.patch(f"/v1/runs/{run}", json={"status": status})
    visitor.open("/?q=fits-", width, theme)
    assert names(visitor)[:5] == [f"fits-{at}" for at in reversed(range(5))]
    visitor.shot(f"runs-{width}-{theme}")
    assert visitor.overflow() <= 0
    assert visitor.run("return window.shifted") < 0.01
    assert visitor.troubles() == []


def test_search_finds_while_one_types(visitor: Visitor, client: httpx.Client) -> None:
    for name in ("search-alpha", "search-beta"):
        new_run(client, name)
    visitor.open("/?q=search-")
    assert names(visitor) == ["search-beta", "search-alpha"]
    visitor.driver.switch_to.active_element.send_keys("/")
    visitor.driver.switch_to.active_element.send_keys(Keys.END + "al")
    visitor.wait("location.search.includes('q=search-al')")
    visitor.wait("document.querySelectorAll('#list tbody tr').length === 1")
    assert names(visitor) == ["search-alpha"]
    visitor.driver.switch_to.active_element.send_keys("nothing")
    visitor.wait("document.querySelector('.nothing')")
    assert "No run fits" in visitor.find(".nothing").text
    assert visitor.troubles() == []


def test_columns_sort(visitor: Visitor, client: httpx.Client) -> None:
    for name, value in (("sort-b", 3.0), ("sort-a", 1.0), ("sort-c", 2.0)):
        run = new_run(client, name)
        post(client, f"/v1/runs/{run}/metrics", {"points": [point(1, value)]})
    visitor.open("/?q=sort-")
    visitor.driver.find_element("link text", "Name").click()
    visitor.wait("document.querySelector('th[aria-sort=ascending]')")
    assert names(visitor) == ["sort-a", "sort-b", "sort-c"]
    visitor.driver.find_element("link text", "loss").click()
    visitor.wait("document.querySelector('th[aria-sort=descending]')")
    assert names(visitor) == ["sort-b", "sort-c", "sort-a"]


def test_a_choice_is_kept_over_searches(visitor: Visitor, client: httpx.Client) -> None:
    for name in ("kept-one", "kept-two"):
        new_run(client, name)
    visitor.open("/?q=kept-")
    visitor.find("#list tbody input").click()
    visitor.open("/?q=kept-one")
    visitor.find("#list tbody input").click()
    assert visitor.find("#chosen-count").text.startswith("2 chosen")
    visitor.find("#go").click()
    visitor.wait("location.pathname === '/compare'")
    assert sorted(visitor.texts(".compared a:not(.button)")) == ["kept-one", "kept-two"]
    visitor.run("sessionStorage.clear()")


def test_a_new_run_appears_by_itself(visitor: Visitor, client: httpx.Client) -> None:
    new_run(client, "appears-first")
    visitor.open("/?q=appears-")
    box = visitor.find("#list tbody input")
    box.click()
    new_run(client, "appears-second")
    visitor.wait("document.querySelectorAll('#list tbody tr').length === 2")
    assert visitor.run("return document.querySelectorAll('#list input:checked').length") == 1
    assert names(visitor) == ["appears-second", "appears-first"]
    visitor.run("sessionStorage.clear()")


def test_traces_and_agents_keep_up_by_themselves(visitor: Visitor, client: httpx.Client) -> None:
    new_trace(client, "keeps-up-first")
    visitor.open("/traces?q=keeps-up-")
    assert len(visitor.texts("#list tbody tr")) == 1
    new_trace(client, "keeps-up-second")
    visitor.wait("document.querySelectorAll('#list tbody tr').length === 2")
    visitor.open("/agents")
    before = len(visitor.texts("#list tbody tr"))
    body = {"session_id": "of-another-machine", "started_at": "2026-01-01T00:00:00Z", "scaffold": "s"}
    assert post(client, "/v1/traces", body, X_Claude_Monitor_Machine_Id="keeps-up").is_success
    visitor.wait(f"document.querySelectorAll('#list tbody tr').length === {before + 1}")
    assert visitor.texts("#total") == [str(before + 1)]


def test_metrics_are_chosen_as_columns(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client, "columns")
    keys = ("a", "b", "c", "d", "loss")
    post(client, f"/v1/runs/{run}/metrics", {"points": [point(1, 1.0, key) for key in keys]})
    visitor.open("/?q=columns")
    assert "loss" in visitor.texts("thead th.number")
    assert "d" not in visitor.texts("thead th.number")
    visitor.driver.find_element("css selector", "#filter summary").click()
    visitor.find("#filter input[value=d]").click()
    visitor.wait("[...document.querySelectorAll('thead th.number')].some((one) => one.innerText === 'd')")
    assert visitor.troubles() == []


def test_traces_that_fit_a_choice_are_shown_at_once(visitor: Visitor, client: httpx.Client) -> None:
    for project in ("fits", "other"):
        new_trace(client, f"chosen-{project}", project=f"chosen-{project}")
    visitor.open("/traces?q=chosen-")
    assert len(visitor.texts("#list tbody tr")) == 2
    assert not any(one.is_displayed() for one in visitor.all("#filter button"))
    visitor.find("#filter select[name=project]").send_keys("chosen-fits")
    visitor.wait("document.querySelectorAll('#list tbody tr').length === 1")
    assert visitor.run("return location.search") == "?q=chosen-&project=chosen-fits"
    assert visitor.troubles() == []
