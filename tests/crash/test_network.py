"""A1, A3, A4: whatever a network and the servers on it do, each record is in the house once, and one bad record holds none back."""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.servers import reply, serving
from tests.support.trials import hold
from tests.support.wire import Line, wired
from tortures import network, packets, ways


@pytest.mark.timeout(900)
def test_a1_over_a_bad_network_each_record_arrives_once(tmp_path: Path) -> None:
    needs_house()
    hold(network.run, tmp_path, "house", count=80)


def test_each_status_comes_with_each_form_of_retry_after_before_any_pair_comes_again() -> None:
    turns = [ways.refusals(turn) for turn in range(len(ways.STATUSES) * len(ways.RETRY_AFTER) // 2)]
    pairs = {(code, form) for code, after in turns for form in after}
    assert len(pairs) == 2 * len(turns) == len(ways.STATUSES) * len(ways.RETRY_AFTER)
    assert 2 * len(turns) < network.COUNT  # every other point has two


@pytest.mark.timeout(900)
def test_a1_where_packets_are_lost_each_record_arrives_once(tmp_path: Path) -> None:
    needs_house()
    hold(packets.run, tmp_path, "root", count=1)


@pytest.mark.parametrize(
    "line, is_answered, bites",
    [
        (Line(up=6000), True, 0),
        (Line(down=6000), True, 0),
        (Line(up=30), False, 1),
        (Line(down=30), False, 1),
        (Line(down=30, reset=False), False, 1),
        (Line(rate=1e6), True, 1),
        (Line(drip=0.0001), True, 1),
    ],
)
def test_a_fault_counts_where_something_was_done(line: Line, is_answered: bool, bites: int) -> None:
    with serving(reply(200)) as server, wired(server.url, lambda number: line) as wire:
        assert _asks(wire.url) == is_answered
        assert wire.bites == bites


def test_a_deaf_server_counts_where_it_was_asked() -> None:
    with serving(reply(200)) as server, wired(server.url, lambda number: Line(deaf=True)) as wire:
        idle = HTTPConnection(wire.url.partition("://")[2])
        idle.connect()
        idle.close()
        with pytest.raises(socket.timeout):
            _asks(wire.url, timeout=0.2)
        assert (wire.connections, wire.bites) == (2, 1)


def _asks(url: str, timeout: float = 60) -> bool:
    """Whether it gets a whole answer, and not one that breaks off."""
    connection = HTTPConnection(url.partition("://")[2], timeout=timeout)
    try:
        connection.request("POST", "/", b"x" * 20)
        return connection.getresponse().read() == b"{}"
    except (ConnectionError, HTTPException):
        return False
    finally:
        connection.close()
