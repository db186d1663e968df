"""A disk that takes nothing more: 503, nothing half-applied, and all goes on when there is room again."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from tests.support.house import House, all_points, new_run, once, point, post

if sys.platform != "linux":
    pytest.skip("prlimit is Linux's", allow_module_level=True)

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def test_a_full_disk_is_told_as_503_and_loses_nothing(tmp_path: Path) -> None:
    with House(tmp_path / "data") as house, house.client() as client:
        run_id = new_run(client)
        path = f"/v1/runs/{run_id}/metrics"
        params = {"key": "image", "media_type": "image"}

        def send(at: int) -> int:
            body = {"points": [point(at * 100 + step) for step in range(100)]}
            return post(client, path, body, **once("full", at * 100, at * 100 + 99)).status_code

        assert send(0) == 200
        size = (house.data / "house.db-wal").stat().st_size
        resource.prlimit(house.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        assert send(1) == 503
        big = b"x" * (size + 1)
        refused = client.post(f"/v1/runs/{run_id}/media", params=params, content=big)
        assert (refused.status_code, refused.json()["reason"]) == (503, "storage")
        assert len(all_points(client, run_id)) == 100
        resource.prlimit(house.pid, resource.RLIMIT_FSIZE, UNLIMITED)
        assert [send(at) for at in (0, 1, 2)] == [200, 200, 200]
        assert [held[3] for held in all_points(client, run_id)] == list(range(300))
        assert client.post(f"/v1/runs/{run_id}/media", params=params, content=big).status_code == 200
        assert list((house.data / "media" / "incoming").iterdir()) == []
