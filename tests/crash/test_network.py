"""A1, A3, A4: whatever a network and the servers on it do, each record is in the house once, and one bad record holds none back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import network, packets


@pytest.mark.timeout(900)
def test_a1_over_a_bad_network_each_record_arrives_once(tmp_path: Path) -> None:
    needs_house()
    hold(network.run, tmp_path, "house", count=80)


@pytest.mark.timeout(900)
def test_a1_where_packets_are_lost_each_record_arrives_once(tmp_path: Path) -> None:
    needs_house()
    hold(packets.run, tmp_path, "root", count=1)
