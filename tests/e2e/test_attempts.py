"""Runs that were begun again before, or after, anything of them was sent."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone

from tests.support.home import Home
from tests.support.house import House
from tests.support.proxy import proxied, status

# of each run one attempt; the first is killed
_JOB = """
    import signal
    attempt, names = int(sys.argv[1]), sys.argv[2:]
    config = {"lr": attempt, f"of{attempt}": 1} if attempt < 3 else None
    for name in names:
        run = cm.TrainingRun(client_run_id=name, config=config, system_metrics=False, capture_env=False)
        run.log({"loss": attempt})
        if attempt == 2: run.config["lr"] = 12
        if attempt > 1: run.finish()
    if attempt == 1: os.kill(os.getpid(), signal.SIGKILL)
"""


def test_s9_a_run_begun_again_has_its_first_start_and_its_last_config_whichever_segment_has_the_lower_name(
    home: Home, house: House
) -> None:
    names = [f"again-{n}" for n in range(8)]
    home.start_job(_JOB, "1", *names).wait()
    between = datetime.now(timezone.utc).isoformat()
    home.job(_JOB, "2", *names)
    assert home.sync("--close-dead").code == 0
    with house.client() as client:
        runs = [run for run in client.get("/v1/runs").json()["runs"] if run["client_run_id"] in names]
    assert [run["started_at"] for run in runs if run["started_at"] > between] == []
    assert [run["config"] for run in runs] == [{"lr": 12, "of1": 1, "of2": 1}] * len(names)


def test_a1_what_a_run_said_last_stays_when_the_server_is_asked_whether_it_knows_the_run(
    home: Home, house: House
) -> None:
    home.start_job(_JOB, "1", "known").wait()
    home.job(_JOB, "2", "known")
    assert home.sync().code == 0
    home.job(_JOB, "3", "known")
    once = itertools.count()

    def rule(request: object) -> object:
        is_points = request.target.endswith("/metrics")  # type: ignore[attr-defined]
        return status(404) if is_points and next(once) == 0 else None

    with proxied(house.url, rule) as proxy:  # type: ignore[arg-type]
        home.sync("--api-base", proxy.url)
        [asked] = [one for one in proxy.received if one.target == "/v1/runs" and "idempotency-key" not in one.headers]
    with house.client() as client:
        [run] = [run for run in client.get("/v1/runs").json()["runs"] if run["client_run_id"] == "known"]
    assert run["config"]["lr"] == 12, asked.body
