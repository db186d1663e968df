"""Rollouts in a real browser: opened beside the list, walked through by keys, compared, and harmless whatever they say."""

from __future__ import annotations

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import LOOKS, Visitor
from tests.support.hostile import HOSTILE
from tests.support.house import new_run, post, span


def fill(client: httpx.Client, steps: int = 4, groups: int = 2, samples: int = 3, name: str = "rollouts") -> str:
    run = new_run(client, name)
    for step in range(steps):
        for group in range(groups):
            for sample in range(samples):
                session = f"{name}-{step}-{group}-{sample}"
                trace = {
                    "session_id": session,
                    "started_at": "2026-01-01T00:00:00Z",
                    "run_id": run,
                    "rollout_step": step,
                }
                said = span(0, session, attributes={"text": f"sample {sample} of {group}"})
                answer = post(client, "/v1/spans", {"traces": [trace], "spans": [said]}).json()
                metadata = {"group": f"prompt {group}", "sample": sample, "reward": step / steps + sample / 10}
                client.patch(f"/v1/traces/{answer['traces'][0]['id']}", json={"metadata": metadata, "outcome": "good"})
    return run


@pytest.mark.parametrize("width, theme", LOOKS)
def test_rollouts_are_read_in_every_size_and_theme(
    visitor: Visitor, client: httpx.Client, width: int, theme: str
) -> None:
    visitor.open(f"/r/{fill(client)}/rollouts", width, theme)
    visitor.find(".sample").click()
    visitor.wait("document.querySelectorAll('.pane .turn').length === 1")
    assert visitor.overflow() <= 0
    assert visitor.troubles() == []
    visitor.shot(f"rollouts-{width}-{theme}")


def test_the_best_sample_of_a_group_comes_first_and_opens_beside_the_list(
    visitor: Visitor, client: httpx.Client
) -> None:
    visitor.open(f"/r/{fill(client)}/rollouts?step=1")
    assert visitor.texts(".sample .called") == ["sample 2", "sample 1", "sample 0"] * 2
    visitor.run("window.kept = true")
    visitor.all(".sample")[1].click()
    visitor.wait("document.querySelector('.pane .turn')")
    assert "sample 1 of 0" in visitor.find(".pane").text
    assert visitor.run("return window.kept")
    visitor.run("history.back()")
    visitor.wait("!document.querySelector('.pane')")


def test_keys_walk_through_the_samples_and_two_are_compared(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/r/{fill(client)}/rollouts?step=1")
    body = visitor.find("body")
    for sample in (2, 1):
        body.send_keys("j")
        visitor.wait(f"document.querySelector('.pane .turn')?.textContent.includes('sample {sample} of 0')")
    body.send_keys("k")
    visitor.wait("document.querySelector('.pane .turn')?.textContent.includes('sample 2 of 0')")
    visitor.all(".against")[-1].click()
    visitor.wait("document.querySelectorAll('.pane').length === 2")
    one, other = visitor.all(".pane")
    assert one.rect["y"] == other.rect["y"]
    assert "sample 2 of 0" in one.text
    assert "sample 0 of 1" in other.text


def test_a_step_is_chosen_in_the_picture_of_rewards_also_by_keyboard(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/r/{fill(client)}/rollouts")
    assert len(visitor.all(".spread a")) == 4
    visitor.run("document.querySelectorAll('.spread a')[1].focus()")
    visitor.driver.switch_to.active_element.send_keys(Keys.ENTER)
    visitor.wait("document.querySelector('.steps input').value === '1'")
    visitor.find(".steps a[rel=next]").click()
    visitor.wait("document.querySelector('.steps input').value === '2'")


def test_hostile_rollouts_stay_text(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client, HOSTILE, project=HOSTILE)
    trace = {
        "session_id": HOSTILE,
        "started_at": "2026-01-01T00:00:00Z",
        "run_id": run,
        "rollout_step": 1,
        "task_name": HOSTILE,
    }
    said = span(0, HOSTILE, attributes={"text": HOSTILE})
    answer = post(client, "/v1/spans", {"traces": [trace], "spans": [said]}).json()
    metadata = {"group": HOSTILE, "sample": HOSTILE, "reward": 1, HOSTILE: HOSTILE}
    client.patch(f"/v1/traces/{answer['traces'][0]['id']}", json={"metadata": metadata})
    visitor.open(f"/r/{run}/rollouts")
    visitor.find(".sample").click()
    visitor.wait("document.querySelector('.pane .turn')")
    assert visitor.troubles() == []
    assert HOSTILE.split()[0] in visitor.find(".pane").text


def rolled(client: httpx.Client, run: str, name: str, step: int, reward: float | None = None) -> None:
    """A rollout arrives; later, perhaps, what it was worth."""
    trace = {"session_id": name, "started_at": "2026-01-01T00:00:00Z", "run_id": run, "rollout_step": step}
    answer = post(client, "/v1/spans", {"traces": [trace], "spans": [span(0, name)]}).json()
    if reward is not None:
        client.patch(f"/v1/traces/{answer['traces'][0]['id']}", json={"metadata": {"reward": reward}})


def test_rollouts_come_in_while_one_looks(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client, "live-rollouts")
    visitor.open(f"/r/{run}/rollouts")
    assert "No rollouts yet" in visitor.find("main").text
    rolled(client, run, "first", 1)
    visitor.wait("document.querySelectorAll('.sample').length === 1")
    rolled(client, run, "first", 1, 0.25)
    visitor.wait("document.querySelector('.sample .reward').textContent === '0.25'")
    rolled(client, run, "second", 2, 0.5)
    visitor.wait("document.querySelector('.steps input').value === '2'")
    assert visitor.find("[data-count=rollouts]").text == "2"
    visitor.find(".sample").click()
    visitor.wait("document.querySelector('.pane .turn')")
    visitor.run("document.querySelector('.pane').dataset.kept = 'yes'")
    rolled(client, run, "third", 3, 0.75)
    visitor.wait("document.querySelectorAll('.spread a').length === 3")
    assert visitor.find(".steps input").get_attribute("value") == "2"
    assert visitor.find(".pane").get_attribute("data-kept") == "yes"
    assert visitor.troubles() == []


@pytest.mark.parametrize("width", [375, 1280])
def test_rewards_fit_beside_their_bars_and_the_worst_come_first_on_demand(
    visitor: Visitor, client: httpx.Client, width: int
) -> None:
    run = new_run(client, "fitting")
    for at, reward in enumerate((-0.004848, 0.5, 1.2345678e-05, 123456.789)):
        rolled(client, run, f"fitting-{at}", 1, reward)
    visitor.open(f"/r/{run}/rollouts", width)
    cut = "[...document.querySelectorAll('.sample .reward')].filter((one) => one.scrollWidth > one.clientWidth).length"
    assert visitor.run(f"return {cut}") == 0
    assert visitor.texts(".sample .reward") == ["123457", "0.5", "1.235e-05", "-0.004848"]
    visitor.run("window.kept = true")
    visitor.driver.find_element("link text", "Worst first").click()
    visitor.wait("document.querySelector('.sample .reward').innerText === '-0.004848'")
    assert visitor.run("return window.kept && location.search") == "?order=worst"
    assert visitor.overflow() <= 0
    visitor.find(".sample").click()
    visitor.wait("document.querySelector('.pane .turn')")
    assert visitor.texts(".sample .reward")[0] == "-0.004848"
    assert visitor.troubles() == []
