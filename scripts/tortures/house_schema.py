"""Requests that schemathesis makes from the house's own description, right ones and wrong ones: no 5xx, only statuses and answers that
are described, and none without a key where one is needed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

from tests.support import oracle
from tests.support.house import House, new_run, new_trace, point, post
from tortures import places
from tortures.trial import Trial, Unavailable

TITLE = "requests made from the house's OpenAPI description (schemathesis)"
COUNT = 400  # of each operation, right ones, and as many wrong ones
# what must not happen, whatever is asked
_CHECKS = "not_a_server_error,status_code_conformance,response_schema_conformance,ignored_auth"
# what is there, so that not all of it ends with a 404
_CONFIG = """
[[operations]]
include-path-regex = "^/v1/runs/"
parameters = {{ "path.id" = "{run}" }}
[[operations]]
include-path-regex = "^/v1/traces/"
parameters = {{ "path.id" = "{trace}" }}
"""
_GENERATED = re.compile(r"(\d+) generated")


def run(trial: Trial) -> None:
    if importlib.util.find_spec("schemathesis") is None:
        raise Unavailable("needs the Python package schemathesis")
    with places.a_house(trial) as house:
        with house.client() as client:
            run_id, trace_id = new_run(client), new_trace(client)
            post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(step) for step in range(50)]})
        (trial.home / "schemathesis.toml").write_text(_CONFIG.format(run=run_id, trace=trace_id))
        done = _asked(house, trial)
        told = done.stdout + done.stderr
        found = _GENERATED.search(told)
        made = int(found[1]) if found else 0
        trial.made, trial.emitted = made, made
        trial.require(made > 0, 0, f"nothing was asked: {told[-2000:]}")
        trial.require(done.returncode == 0, made, told[-6000:])
        with house.client() as client:
            trial.require(client.get("/v1/runs").status_code == 200, made, "the house no longer answers")
    trial.add(made, oracle.Verdict(0, [], [], []))


def _asked(house: House, trial: Trial) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("run", f"{house.url}/openapi.json", "--header", f"Authorization: Bearer {house.key}"),
            *("--checks", _CHECKS, "--max-examples", str(trial.count), "--seed", str(trial.seed), "--mode", "all"),
            # a house pushes nowhere, and says 501 to whatever it is asked
            # nor is what all the others are about to be deleted: the row "fuzz" has deletions
            *(
                "--exclude-method",
                "DELETE",
                "--phases",
                "fuzzing",
                "--exclude-path-regex",
                "push_model_card",
                "--no-color",
                "--continue-on-failure",
            ),
        ],
        cwd=trial.home,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
