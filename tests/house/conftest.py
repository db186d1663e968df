from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support import postgres as servers
from tests.support.house import House
from tests.support.postgres import Postgres


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of a module with DATABASES run on each of them."""
    if "database" in metafunc.fixturenames and hasattr(metafunc.module, "DATABASES"):
        metafunc.parametrize("database", metafunc.module.DATABASES, scope="module")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with servers.postgres() as running:
        yield running


@pytest.fixture(scope="module")
def database() -> str:
    return "sqlite"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, database: str, request: pytest.FixtureRequest) -> Iterator[House]:
    """One house for the tests of a module: each uses sessions and runs of its own."""
    options = ["--database", request.getfixturevalue("postgres").url] if database == "postgres" else []
    with House(tmp_path_factory.mktemp("house") / "data", *options) as running:
        yield running


@pytest.fixture
def client(house: House, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client whose machine is the test's own, so that no test sees another's sessions and runs."""
    with house.client(machine=request.node.name.encode("ascii", "replace").decode()[:200]) as made:
        yield made
