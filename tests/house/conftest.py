from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the tests of a module: each uses sessions and runs of its own."""
    with House(tmp_path_factory.mktemp("house") / "data") as running:
        yield running


@pytest.fixture
def client(house: House, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client whose machine is the test's own, so that no test sees another's sessions and runs."""
    with house.client(machine=request.node.name.encode("ascii", "replace").decode()[:200]) as made:
        yield made
