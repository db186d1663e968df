from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.house import House
from tests.support.lanes import needs_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    needs_house()
    with House(tmp_path_factory.mktemp("house") / "data") as running:
        yield running
