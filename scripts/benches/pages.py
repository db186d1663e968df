"""What the house's pages cost with a thousand runs: the server's processor, and the first paint in a real browser on loopback."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benches.agents import cpu_seconds
from benches.measure import Report, median
from benches.procs import house

_KEYS = ("loss", "reward/mean", "eval/accuracy", "kl", "train/lr", "system/cpu.util_pct")
_PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_PATIENCE = 30.0


def run(report: Report, home: Path) -> None:
    count = report.size(1000, 1000)
    with house(home) as (address, key), httpx.Client(base_url=address, timeout=60) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        pages = _fill(client, count)
        pid = int((home / "house" / "house.lock").read_text())
        for name, path in pages.items():
            _serve(report, client, pid, f"{name}, {count:,} runs: the server", path)
        with _browser(report, home, address, key) as paint:
            for name, path in pages.items():
                if paint is not None:
                    report.add(f"{name}, {count:,} runs: first paint", "ms", paint(address + path), target=300.0)


def _fill(client: httpx.Client, count: int) -> dict[str, str]:
    """The pages to be measured, by name."""
    began, run = "2026-01-02T03:04:05Z", ""
    for number in range(count):
        body: dict[str, Any] = {"name": f"run {number}", "client_run_id": f"run-{number}", "started_at": began}
        run = client.post("/v1/runs", json={**body, "project": f"p{number % 7}"}).raise_for_status().json()["id"]
        points = [{"key": k, "step": s, "value": s / 7, "wall_time": began} for k in _KEYS for s in range(20)]
        client.post(f"/v1/runs/{run}/metrics", json={"points": points}).raise_for_status()
    return {"all runs": "/", "runs by a metric": "/?sort=metric:loss", "a run's charts": f"/r/{run}"}


def _serve(report: Report, client: httpx.Client, pid: int, what: str, path: str) -> None:
    times = report.size(20, 100)
    client.get(path).raise_for_status()
    walls = []
    before = cpu_seconds(pid)
    for _ in range(times):
        began = time.perf_counter()
        client.get(path).raise_for_status()
        walls.append(1000 * (time.perf_counter() - began))
    report.add(f"{what}'s processor", "ms", 1000 * (cpu_seconds(pid) - before) / times, target=60.0)
    report.add(f"{what}'s answer", "ms", median(walls))


@contextmanager
def _browser(report: Report, home: Path, address: str, key: str) -> Iterator[Callable[[str], float] | None]:
    """Gives a function of an address: the median of its first paints in ms; None where there is no browser."""
    binary, program = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or program is None or importlib.util.find_spec("selenium") is None:
        report.note("no first paint: needs chromium, chromedriver and selenium")
        yield None
        return
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={home / 'browser'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(program))
    try:
        driver.get(f"{address}/signin")
        driver.find_element("name", "key").send_keys(f"{key}\n")
        _await(lambda: driver.current_url == f"{address}/")
        times = report.size(7, 21)
        yield lambda page: median([_paint(driver, page) for _ in range(times)])
    finally:
        driver.quit()


def _paint(driver: Any, address: str) -> float:
    driver.get(address)
    return float(_await(lambda: driver.execute_script(_PAINT)))


def _await(found: Callable[[], Any]) -> Any:
    until = time.monotonic() + _PATIENCE
    while not (value := found()) and time.monotonic() < until:
        time.sleep(0.01)
    return value
