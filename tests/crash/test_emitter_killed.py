"""E2, E3: a job killed, or whose disk fails, at any of its system calls: what its calls said was recorded arrives once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import job_errors, job_kills


@pytest.mark.timeout(900)
def test_e2_a_job_killed_at_any_system_call_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    needs_house()
    hold(lambda trial: job_kills.run(trial, size=30), tmp_path, "strace", count=60)


@pytest.mark.timeout(900)
def test_e3_a_job_whose_disk_fails_ends_as_it_would_and_tells_what_is_lost(tmp_path: Path) -> None:
    needs_house()
    hold(lambda trial: job_errors.run(trial, size=30), tmp_path, "strace", count=60)
