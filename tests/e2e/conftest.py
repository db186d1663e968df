from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home
from tests.support.house import House
from tests.support.lanes import needs_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the tests of a module: each uses sessions and runs of its own."""
    needs_house()
    with House(tmp_path_factory.mktemp("house") / "data") as running:
        yield running


@pytest.fixture
def home(house: House, tmp_path: Path) -> Home:
    """A place whose jobs belong to the house, with the house's key for the agent."""
    return Home(tmp_path, house.url).with_key(house.key)
