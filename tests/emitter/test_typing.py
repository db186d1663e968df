"""A user's program is checked by ``mypy --strict`` as it stands, its mistakes are found, and it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tracehouse
from tests.support import jobs, lanes
from tracehouse import wandb

_PROGRAM = Path(__file__).parent / "data" / "typed_user.py"
# what lies in the package itself is for `scripts/check`
_STRICT = ("--strict", "--follow-imports=silent")


def test_a_users_program_is_strictly_typed(tmp_path: Path) -> None:
    lanes.needs_module("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *_STRICT, "--cache-dir", str(tmp_path / "cache"), str(_PROGRAM)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(jobs.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("door", [tracehouse, wandb], ids=["cm", "wandb"])
def test_the_users_program_uses_every_public_name(door: object) -> None:
    name = "wandb" if door is wandb else "cm"
    text = _PROGRAM.read_text(encoding="utf-8")
    used = set(re.findall(rf"\b{name}\.(\w+)", text)) | {"wandb"}
    assert set(getattr(door, "__all__")) <= used  # noqa: B009


def test_the_users_program_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(_PROGRAM)],
        cwd=tmp_path,
        env=jobs.environ(tmp_path / "spool"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == tracehouse.__version__
