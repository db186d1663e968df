from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support import lanes

if TYPE_CHECKING:
    from tests.support.browser import Visitor
    from tests.support.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    lanes.needs_house()
    lanes.needs_browser()
    from tests.support.house import House

    with House(tmp_path_factory.mktemp("house") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """One for all houses: each time it starts takes longer than most tests."""
    from tests.support.browser import Visitor

    made = Visitor(lanes.needs_browser(), tmp_path_factory.mktemp("browser"))
    yield made
    made.quit()


@pytest.fixture(scope="module")
def visitor(house: House, browser: Visitor) -> Iterator[Visitor]:
    """A browser that is signed in."""
    browser.sign_in(house)
    yield browser
    browser.leave()


@pytest.fixture
def client(house: House, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with house.client(machine=request.node.name.encode("ascii", "replace").decode()[:200]) as made:
        yield made
