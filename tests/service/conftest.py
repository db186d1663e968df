from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.support import Site
from tests.support.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "house") as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, house: House) -> Iterator[Site]:
    """A home whose key and api_base are the house's."""
    made = Site(tmp_path / "home", api_base=house.url, key=house.key)
    yield made
    made.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A home with no server that answers."""
    made = Site(tmp_path / "home")
    yield made
    made.close()
