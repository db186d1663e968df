"""A real Chromium, headless, that looks at a house as a person does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.support.house import House
from tests.support.lanes import Browser
from tests.support.waiting import wait_until

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Runs before the page's own scripts, and is not bound by its policy.
_WATCH = """
window.violations = [];
window.shifted = 0;
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`));
addEventListener("error", (event) => window.violations.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) => window.violations.push(`rejection: ${event.reason}`));
window.alert = (text) => window.violations.push(`alert: ${text}`);
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""
_SHOTS = Path(__file__).resolve().parents[2] / "build" / "shots"
WIDTHS = (375, 1280, 2560)
THEMES = ("light", "dark")
# each width and each theme, not each with each: a theme changes no place, a width no colour
LOOKS = tuple(zip(WIDTHS, ("light", "dark", "light")))


class Visitor:
    """A browser with a profile of its own below `folder`; screenshots are kept in TRACEHOUSE_TEST_SHOTS, or build/shots."""

    def __init__(self, found: Browser, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = found.binary
        for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(found.driver))
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        self.shots = Path(os.environ.get("TRACEHOUSE_TEST_SHOTS") or _SHOTS)
        self.shots.mkdir(parents=True, exist_ok=True)
        self.house: House | None = None

    def quit(self) -> None:
        self.driver.quit()

    def sign_in(self, house: House) -> None:
        """By the form, as a person without the link does."""
        self.house = house
        self.driver.get(f"{house.url}/signin")
        self.driver.find_element(By.NAME, "key").send_keys(house.key + Keys.ENTER)
        wait_until(lambda: self.driver.current_url == f"{house.url}/", what=lambda: f"signed in, but: {self.said()}")
        self.driver.get_log("browser")

    def leave(self) -> None:
        """Go from the house's pages, with nothing of it kept: one that is still open asks on, and tells that it is turned away."""
        assert self.house is not None
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": self.house.url, "storageTypes": "all"})
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.get_log("browser")

    def said(self) -> str:
        """Where the browser is, and what stands there."""
        return f"{self.driver.current_url}: {self.run('return document.body.innerText')}"

    def open(self, path: str, width: int = 1280, theme: str = "light", height: int = 900) -> None:
        """Go to a page of the house, in a window of this size and with this preference."""
        assert self.house is not None
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(self.house.url + path)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body returns, run in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, expression: str) -> Any:
        """The value of a JavaScript expression, once it is true."""
        return wait_until(lambda: self.run(f"return {expression}"), what=expression)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that are shown, in one look: a page that draws again puts others in their place."""
        shown = "one.checkVisibility({ visibilityProperty: true, opacityProperty: true })"
        look = f"return [...document.querySelectorAll(arguments[0])].filter((one) => {shown})"
        return list(self.run(f"{look}.map((one) => one.innerText.trim())", selector))

    def shot(self, name: str) -> None:
        self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def troubles(self) -> list[str]:
        """What the policy stopped, what failed, and what the browser said of it, since the page was opened."""
        said = [one["message"] for one in self.driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
        return [*self.run("return window.violations"), *said]

    def overflow(self) -> int:
        """How many pixels the page is wider than the window: it should be no more."""
        return int(self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))
