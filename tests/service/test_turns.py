"""Sessions share an agent: nobody waits until another has sent all it has."""

from __future__ import annotations

import time
from pathlib import Path

from tests.service.support import Site, heard
from tests.support.house import House, all_points
from tests.support.proxy import Fault, proxied
from tests.support.servers import Received
from tests.support.waiting import wait_until

_LONG = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], system_metrics=False, capture_env=False)
    for n in range(int(sys.argv[2])):
        run.log({"loss": n})
    print("logged", flush=True)
    sys.stdin.read()
"""
_MANY = 20_000


def _points(house: House) -> dict[str, int]:
    with house.client() as client:
        runs = client.get("/v1/runs").json()["runs"]
        return {run["client_run_id"]: len(all_points(client, run["id"], "loss")) for run in runs}


def _slow(request: Received) -> Fault | None:
    """A line on which each request takes a while."""
    if "/metrics" in request.target:
        time.sleep(0.1)
    return None


def test_a_run_that_begins_is_not_kept_waiting_by_live_ones_with_much_to_send(tmp_path: Path, house: House) -> None:
    with proxied(house.url, _slow) as proxy:
        site = Site(
            tmp_path / "home", api_base=proxy.url, key=house.key, TRACEHOUSE_JOBS="2", TRACEHOUSE_BATCH_POINTS="20"
        )
        try:
            site.start()
            for name in ("long-1", "long-2", "long-3"):
                assert heard(site.job(_LONG, name, str(_MANY))) == "logged"
            wait_until(lambda: len(_points(house)) >= 2, what=lambda: str(_points(house)))
            assert heard(site.job(_LONG, "short", "5")) == "logged"
            wait_until(lambda: _points(house).get("short") == 5, what=lambda: str(_points(house)))
            assert all(0 < _points(house)[name] < _MANY for name in ("long-1", "long-2", "long-3"))
        finally:
            site.close()
