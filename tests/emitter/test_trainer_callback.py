"""Hugging Face's own Trainer, where it is installed, with the callback for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs
from tests.support.lanes import needs_module
from tests.support.wandb import Place

SCRIPT = Path(__file__).parent / "data" / "trainer.py"


@pytest.fixture(autouse=True)
def _trainer() -> None:
    for name in ("torch", "transformers", "accelerate"):
        needs_module(name)


def _train(tmp_path: Path, *args: str) -> Place:
    environ = jobs.environ(tmp_path / "spool")
    command = [sys.executable, str(SCRIPT), *args]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return Place(tmp_path / "spool")


def _steps(place: Place, key: str) -> list[Any]:
    return [step for step, values in place.rows() if key in values]


def test_what_the_trainer_logs_goes_by_its_own_steps_with_its_config_but_no_token(tmp_path: Path) -> None:
    place = _train(tmp_path)
    [run] = place.of_type("run")
    assert (run["name"], run["project"], run["client_run_id"]) == ("bert-tiny", "tuning", "begun-by-it")
    assert _steps(place, "train/loss") == [2, 4, 6]
    assert _steps(place, "eval/loss") == [3, 6, 6]
    assert {"train_runtime", "train_loss", "total_flos"} <= set(place.values())
    config = place.config()
    assert (config["hidden_size"], config["max_steps"]) == (16, 6)
    assert config["model/num_parameters"] > 0
    assert not any(b"hf_abcdefghijklmnopqrst" in path.read_bytes() for path in place.session.glob("*.jsonl"))
    assert cm.read(tmp_path / "spool")["begun-by-it"].status == "finished"


def test_a_default_run_that_is_there_is_taken(tmp_path: Path) -> None:
    place = _train(tmp_path, "mine")
    assert [run["client_run_id"] for run in place.of_type("run")] == ["mine"]
    assert _steps(place, "train/loss") == [2, 4, 6]
