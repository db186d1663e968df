"""Tests that need more than Python: they skip by the name of what is missing, or fail where it is required.

TRACEHOUSE_REQUIRE=root,browser,… names what is required; "all" stands for everything.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import NamedTuple, NoReturn

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Browser(NamedTuple):
    """Paths of a Chromium and of its driver."""

    binary: str
    driver: str


def required() -> set[str]:
    """The names in TRACEHOUSE_REQUIRE."""
    return {name.strip() for name in os.environ.get("TRACEHOUSE_REQUIRE", "").split(",") if name.strip()}


def require(lane: str, reason: str) -> NoReturn:
    """Skip as "[lane] reason", or fail where `lane` is required. For use in tests, fixtures and at module level."""
    if required() & {lane, "all"}:
        pytest.fail(f"[{lane}] {reason}, and TRACEHOUSE_REQUIRE asks for it", pytrace=False)
    pytest.skip(f"[{lane}] {reason}", allow_module_level=True)


def needs_root() -> None:
    """Go on as root only."""
    if os.geteuid() != 0:
        require("root", "needs root")


def needs_linux() -> None:
    """Go on under Linux only."""
    if not sys.platform.startswith("linux"):
        require("linux", f"needs Linux, not {sys.platform}")


def is_full() -> bool:
    """Under `scripts/test --full`, where rows are as long as they were asked for."""
    return os.environ.get("TRACEHOUSE_FULL") == "1"


def needs_full() -> None:
    """Go on in `scripts/test --full` only."""
    if not is_full():
        require("full", "heavy: `scripts/test --full` runs it")


def needs_tool(name: str, lane: str | None = None) -> str:
    """The path of the program `name`; the lane bears its name unless told otherwise."""
    path = shutil.which(name)
    if path is None:
        require(lane or name, f"needs {name}, which is not on PATH")
    return path


def needs_module(name: str, lane: str | None = None) -> None:
    """Go on only where the module `name` is installed."""
    if importlib.util.find_spec(name) is None:
        require(lane or name, f"needs the Python package {name}")


def needs_house() -> None:
    """Go on only where the house can run: Python 3.10 and later, with the extra `house`."""
    if sys.version_info < (3, 10):
        require("house", "the house needs Python 3.10 or later")
    needs_module("starlette", "house")
    needs_module("sqlalchemy", "house")


def needs_browser() -> Browser:
    """A Chromium and its driver, for selenium."""
    needs_module("selenium", "browser")
    binary = next((path for path in map(shutil.which, _BROWSERS) if path), None)
    if binary is None:
        require("browser", "needs chromium, which is not on PATH")
    return Browser(binary, needs_tool("chromedriver", "browser"))
