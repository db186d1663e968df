"""Requests that schemathesis makes from the house's own description. Wrong ones are refused; right ones are answered as described, and not
without a key where one is needed; deletion of what there is not deletes nothing. No 5xx, and what is refused changes nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.support import oracle
from tests.support.house import ROOT, House, new_run, new_trace, point, post
from tortures import places
from tortures.house_state import State
from tortures.trial import Trial, Unavailable

TITLE = "requests made from the house's OpenAPI description (schemathesis)"
COUNT = 500  # wrong ones of each operation, as many deletions, and a quarter as many right ones
# what must not happen, whatever is asked
_CHECKS = (
    *("not_a_server_error", "status_code_conformance", "response_schema_conformance", "ignored_auth"),
    "refused_changes_nothing",  # house_checks
)
# what is there, so that not all of it ends with a 404
_CONFIG = """
[[operations]]
include-path-regex = "^/v1/runs/"
exclude-method = "DELETE"
parameters = {{ "path.id" = "{run}" }}
[[operations]]
include-path-regex = "^/v1/traces/"
exclude-method = "DELETE"
parameters = {{ "path.id" = "{trace}" }}
"""
_GENERATED = re.compile(r"(\d+) generated")


class _Part(NamedTuple):
    """``changes``: whether the house is another one afterwards."""

    name: str
    mode: str
    share: int
    words: tuple[str, ...]
    changes: bool = False


_PARTS = (
    _Part("wrong", "negative", 1, ()),
    # alone: schemathesis takes ids from answers to other requests
    _Part("deletions", "positive", 1, ("--include-method", "DELETE")),
    _Part("right", "positive", 4, ("--exclude-method", "DELETE"), changes=True),
)


def run(trial: Trial) -> None:
    if importlib.util.find_spec("schemathesis") is None:
        raise Unavailable("needs the Python package schemathesis")
    with places.a_house(trial, "house", "--allow-anonymous") as house:
        with house.client() as client:
            run_id, trace_id = new_run(client), new_trace(client)
            post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(step) for step in range(50)]})
        (trial.home / "schemathesis.toml").write_text(_CONFIG.format(run=run_id, trace=trace_id))
        state = State(house.data)
        for part in _PARTS:
            before = state.digest()
            _make(trial, house, part)
            trial.require(part.changes or state.digest() == before, trial.made, f"{part.name} changed something")
        with house.client() as client:
            trial.require(client.get("/v1/runs").status_code == 200, trial.made, "the house no longer answers")
    trial.add(trial.made, oracle.Verdict(0, [], [], []))


def _make(trial: Trial, house: House, part: _Part) -> None:
    done = _asked(trial, house, part)
    told = done.stdout + done.stderr
    found = _GENERATED.search(told)
    made = int(found[1]) if found else 0
    trial.made += made
    trial.emitted += made
    trial.notes.append(f"{made} {part.name}")
    trial.require(made > 0, trial.made, f"nothing was asked: {told[-2000:]}")
    trial.require(done.returncode == 0, trial.made, told[-6000:])


def _asked(trial: Trial, house: House, part: _Part) -> subprocess.CompletedProcess[str]:
    checks = (*_CHECKS, "negative_data_rejection") if part.mode == "negative" else _CHECKS
    count = max(1, trial.count // part.share)
    return subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("run", f"{house.url}/openapi.json", "--header", f"Authorization: Bearer {house.key}"),
            *("--checks", ",".join(checks), "--max-examples", str(count), "--seed", str(trial.seed)),
            *("--mode", part.mode, "--phases", "fuzzing", "--no-color", "--continue-on-failure", *part.words),
            # a house pushes nowhere, and says 501 to whatever it is asked
            *("--exclude-path-regex", "push_model_card"),
        ],
        cwd=trial.home,
        env={**os.environ, **_environ(house.data)},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )


def _environ(data: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}",
        "SCHEMATHESIS_HOOKS": "tortures.house_checks",
        "TRACEHOUSE_TORTURED_HOUSE": str(data),
    }
