"""Every test has a home of its own, so that none reads or writes the spool, state or keys of the person who runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import lanes, ready, report

settings.register_profile("tracehouse", deadline=None, max_examples=50, print_blob=True)
settings.register_profile("full", parent=settings.get_profile("tracehouse"), max_examples=1000)
settings.load_profile("full" if os.environ.get("TRACEHOUSE_FULL") == "1" else "tracehouse")

_TESTS = Path(__file__).parent
_FIRST = ("crash", "release", "service", "e2e", "house", "browser")
_OURS = ("TRACEHOUSE_REQUIRE", "TRACEHOUSE_FULL", "TRACEHOUSE_TEST_")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("XDG_") or (name.startswith("TRACEHOUSE_") and not name.startswith(_OURS)):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def pytest_configure() -> None:
    if not lanes.is_full():
        ready.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that none is left for one process alone at the end."""
    items.sort(
        key=lambda item: (
            _FIRST.index(part) if (part := item.path.relative_to(_TESTS).parts[0]) in _FIRST else len(_FIRST)
        )
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("heavy"):
        lanes.needs_full()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    report.write_summary(terminalreporter.stats)
