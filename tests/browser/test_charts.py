"""The charts of a run and of several, in a real browser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import httpx
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import LOOKS, Visitor
from tests.support.house import new_run, once, point, post

if TYPE_CHECKING:
    from tests.support.house import House

KEYS = ("loss", "lr", "train/kl", "train/entropy", "eval/accuracy", "system/cpu.util_pct")


def log(
    client: httpx.Client, run: str, keys: tuple[str, ...] = KEYS, steps: range = range(60), attempt: int = 0
) -> None:
    points = [point(step, math.exp(-step / 20) + at, key) for at, key in enumerate(keys) for step in steps]
    headers = once(f"{run}-{attempt}", 1, len(points), attempt=attempt)
    assert post(client, f"/v1/runs/{run}/metrics", {"points": points}, **headers).is_success


def ink(visitor: Visitor, key: str) -> int:
    """How many pixels of a chart are painted."""
    script = """
      const canvas = document.querySelector(`.chart[data-key="${arguments[0]}"] canvas`);
      if (!canvas || !canvas.width) return 0;
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let painted = 0;
      for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
      return painted;"""
    return int(visitor.run(script, key))


def drawn(visitor: Visitor, key: str = "loss") -> None:
    visitor.wait(
        f"document.querySelector('.chart[data-key=\"{key}\"] canvas') && "
        f"!document.querySelector('.chart[data-key=\"{key}\"].loading')"
    )


@pytest.mark.parametrize("width, theme", LOOKS)
def test_charts_are_drawn_in_every_size_and_theme(
    visitor: Visitor, client: httpx.Client, width: int, theme: str
) -> None:
    run = new_run(client)
    log(client, run)
    visitor.open(f"/r/{run}", width, theme)
    drawn(visitor)
    assert ink(visitor, "loss") > 200
    visitor.shot(f"charts-{width}-{theme}")
    assert visitor.overflow() <= 0
    assert visitor.run("return window.shifted") < 0.01
    assert visitor.troubles() == []


def test_charts_are_grouped_by_prefix_and_the_machine_comes_last(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run)
    visitor.open(f"/r/{run}")
    heads = [text.split("\n")[0].rsplit(" ", 1)[0] for text in visitor.texts("#charts h2")]
    assert heads == ["Metrics", "eval", "train", "Machine"]


def test_what_grew_while_nobody_looked_is_there_when_one_looks_again(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, ("loss",), range(3))
    visitor.open(f"/r/{run}")
    visitor.wait("document.querySelector('.chart td.count').textContent === '3'")
    turn = "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });"
    turn += "document.dispatchEvent(new Event('visibilitychange'))"
    visitor.run(turn, True)
    log(client, run, ("loss",), range(3, 5), attempt=1)
    log(client, run, ("lr",), range(2), attempt=2)
    visitor.run(turn, False)
    visitor.wait("[...document.querySelectorAll('.chart td.count')].map((one) => one.textContent).join() === '3,2,2'")
    assert visitor.troubles() == []


def test_only_charts_near_the_view_are_drawn(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, tuple(f"many/m{at}" for at in range(60)), range(5))
    visitor.open(f"/r/{run}", 375)
    drawn(visitor, "many/m0")
    assert ink(visitor, "many/m59") == 0
    visitor.run("document.querySelector('.chart[data-key=\"many/m59\"]').scrollIntoView()")
    drawn(visitor, "many/m59")
    assert ink(visitor, "many/m59") > 200
    visitor.wait("document.querySelector('.chart[data-key=\"many/m0\"] canvas') === null")


def test_the_filter_takes_a_regular_expression_and_stays_in_the_address(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run)
    visitor.open(f"/r/{run}")
    visitor.find("input[name=match]").send_keys("^train/|acc")
    visitor.wait("location.search.includes('match=')")
    shown = visitor.texts(".chart h3")
    assert shown == ["eval/accuracy", "train/entropy", "train/kl"]
    visitor.driver.refresh()
    assert visitor.texts(".chart h3") == shown
    visitor.open(f"/r/{run}?match=%5B")
    assert visitor.texts(".chart h3") == []
    assert visitor.find("#none-fit").is_displayed()
    assert visitor.troubles() == []


def test_one_cursor_goes_over_all_charts(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run)
    visitor.open(f"/r/{run}", 2560)
    for key in ("loss", "lr"):
        drawn(visitor, key)
    canvas = visitor.find(".chart[data-key=loss] canvas:last-of-type")
    ActionChains(visitor.driver).move_to_element(canvas).perform()
    visitor.wait("!document.querySelector('.chart[data-key=loss] .tip').hidden")
    assert "step" in visitor.find(".chart[data-key=loss] .tip").text
    script = """
      const canvas = document.querySelector('.chart[data-key=lr] canvas:last-of-type');
      return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((one) => one > 0);"""
    assert visitor.run(script)
    visitor.shot("charts-cursor")


def test_a_drag_zooms_all_charts_and_the_address_keeps_it(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run)
    visitor.open(f"/r/{run}")
    drawn(visitor)
    canvas = visitor.find(".chart[data-key=loss] canvas:last-of-type")
    ActionChains(visitor.driver).move_to_element_with_offset(canvas, -40, 0).click_and_hold().move_by_offset(
        80, 5
    ).release().perform()
    zoom = visitor.wait("new URLSearchParams(location.search).get('zoom')")
    begin, end = (float(one) for one in zoom.split("~"))
    assert 0 < begin < end < 59
    [link] = [one.get_attribute("href") for one in visitor.all("#controls a[data-format=csv]")]
    assert f"first={math.ceil(begin)}&last={math.floor(end)}" in str(link)
    visitor.find("#all").click()
    visitor.wait("!location.search.includes('zoom')")


def test_the_keyboard_reads_values(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, ("loss",), range(5))
    visitor.open(f"/r/{run}")
    drawn(visitor)
    canvas = visitor.find(".chart canvas:last-of-type")
    canvas.send_keys(Keys.HOME)
    visitor.wait("document.querySelector('.tip').innerText.startsWith('step 0')")
    canvas.send_keys(Keys.ARROW_RIGHT)
    visitor.wait("document.querySelector('.tip').innerText.startsWith('step 1')")
    canvas.send_keys(Keys.ESCAPE)
    visitor.wait("document.querySelector('.tip').hidden")


def test_the_ticks_of_an_axis_are_worded_alike(visitor: Visitor) -> None:
    visitor.open("/")
    script = """return import("/static/scale.js").then(({ linearTicks, tickText }) => arguments[0].map((most) => {
      const ticks = linearTicks(0, most, 3);
      return ticks.map((tick) => tickText(tick, ticks[1], ticks.at(-1)));
    }))"""
    assert visitor.run(script, [1e-4, 1e-3, 2.5, 3e4]) == [
        ["0", "5e-5", "1e-4"], ["0", "0.0005", "0.0010"], ["0", "1", "2"], ["0", "10k", "20k", "30k"],
    ]  # fmt: skip


def test_smoothing_scale_and_axis_are_kept_in_the_address(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run)
    visitor.open(f"/r/{run}?smooth=0.9&log=1&x=relative")
    drawn(visitor)
    assert visitor.find("input[name=log]").is_selected()
    assert visitor.find("#smooth-now").text == "0.90"
    assert visitor.find("input[value=relative]").is_selected()
    assert ink(visitor, "loss") > 200
    visitor.find("input[name=log]").click()
    visitor.wait("!location.search.includes('log')")
    assert visitor.troubles() == []


def test_what_is_no_number_leaves_a_gap_and_a_mark(visitor: Visitor, client: httpx.Client) -> None:
    lines = visitor_lines(visitor, [[0, 0, 1, 1, 1, 1, 0, 0], [2, 2, 2, 2, 2, 1, 0, 0]], [[1, "NaN"], [3, "Infinity"]])
    assert lines["cut"] == [0, 1]
    assert [(mark["x"], mark["name"]) for mark in lines["marks"]] == [(1, "NaN"), (2, "Infinity")]
    run = new_run(client)
    values = [1.0, {"_type": "number", "value": "NaN"}, 2.0]
    post(client, f"/v1/runs/{run}/metrics", {"points": [point(at, value) for at, value in enumerate(values)]})
    visitor.open(f"/r/{run}")
    drawn(visitor)
    visitor.shot("charts-nan")
    assert visitor.troubles() == []


def visitor_lines(visitor: Visitor, buckets: list[list[float]], nonfinite: list[list[object]]) -> dict[str, list[dict]]:
    """What `lines.js` makes of buckets."""
    assert visitor.house is not None
    visitor.open("/")
    script = """
      const [series, done] = arguments;
      import("/static/lines.js").then(({ toLine }) => {
        const line = toLine(series, "step", 0);
        done({ cut: [...line.cut], marks: line.marks, x: [...line.x], y: [...line.y] });
      });"""
    return dict(visitor.driver.execute_async_script(script, {"buckets": buckets, "nonfinite": nonfinite}))


def test_attempts_are_told_apart(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, ("loss",), range(30), attempt=1)
    log(client, run, ("loss",), range(20, 50), attempt=2)
    visitor.open(f"/r/{run}")
    drawn(visitor)
    assert visitor.texts(".legend li") == ["attempt 1", "attempt 2"]
    colours = [one.get_attribute("data-colour") for one in visitor.all("[data-series]")]
    assert len(set(colours)) == 2
    visitor.shot("charts-attempts")


def test_new_points_and_new_charts_appear_by_themselves(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, ("loss",), range(5))
    visitor.open(f"/r/{run}")
    drawn(visitor)
    # The first news tells where the page stands; what comes after it is new.
    log(client, run, ("loss",), range(5, 40), attempt=1)
    visitor.wait("document.querySelectorAll('.chart[data-key=loss] [data-series]').length === 2")
    log(client, run, ("train/kl",), range(5), attempt=2)
    visitor.wait("document.querySelector('.chart[data-key=\"train/kl\"] canvas')")
    visitor.wait("document.querySelector('[data-count=points]').textContent === '45'")
    client.patch(f"/v1/runs/{run}", json={"status": "finished"})
    visitor.wait("document.querySelector('#head .status').textContent === 'finished'")
    assert visitor.troubles() == []


def test_several_runs_are_laid_over_each_other(visitor: Visitor, client: httpx.Client) -> None:
    runs = [new_run(client, f"overlay-{at}") for at in range(3)]
    for run in runs:
        log(client, run)
    visitor.open("/?q=overlay-")
    for box in visitor.all("#list tbody input"):
        box.click()
    visitor.find("#go").click()
    visitor.wait("location.pathname === '/compare'")
    drawn(visitor)
    assert visitor.texts(".chart[data-key=loss] .legend li") == ["overlay-2", "overlay-1", "overlay-0"]
    visitor.shot("compare")
    assert visitor.troubles() == []
    visitor.find(".compared a.button").click()
    visitor.wait("document.querySelectorAll('.compared li').length === 2")


def test_the_page_says_all_values_without_scripts(house: House, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, ("loss",), range(5))
    text = client.get(f"/r/{run}").text
    assert '<td class="number count">5</td>' in text


def test_without_metrics_the_page_says_what_to_do(visitor: Visitor, client: httpx.Client) -> None:
    visitor.open(f"/r/{new_run(client)}", 375)
    assert "run.log(" in visitor.find("#no-charts").text
    visitor.shot("charts-empty")
    assert visitor.troubles() == []


def test_a_chosen_theme_stays(visitor: Visitor, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, ("loss",), range(5))
    visitor.open(f"/r/{run}", theme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = visitor.run(f"return {background}")
    visitor.find("[data-theme-toggle]").click()
    dark = visitor.run(f"return {background}")
    visitor.driver.refresh()
    assert visitor.run(f"return {background}") == dark != light
    visitor.run("localStorage.clear()")
    assert visitor.driver.find_element(By.TAG_NAME, "h1").is_displayed()
