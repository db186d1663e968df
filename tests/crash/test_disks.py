"""E2, E3, S3: disks that are full, lose their power, drop what was not fsynced, or return other bytes than were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import damage, full_disk, power_loss, unsynced


def test_e3_on_a_full_disk_nothing_is_lost_untold_and_all_goes_on_with_space(tmp_path: Path) -> None:
    hold(lambda trial: full_disk.run(trial, short=1), tmp_path, "root", count=6, seed=11)


@pytest.mark.timeout(900)
def test_e2_what_flush_was_true_for_survives_a_power_failure(tmp_path: Path) -> None:
    """One point for each of ext4's data modes, and xfs."""
    hold(power_loss.run, tmp_path, "root", count=len(power_loss.KINDS), seed=2)


def test_e2_what_flush_was_true_for_needs_nothing_that_was_not_fsynced(tmp_path: Path) -> None:
    """After any system call of a job and of an agent; five mutants that forget an fsync, or do it too late, are caught."""
    hold(unsynced.run, tmp_path, "strace", count=50)


def test_s3_damage_costs_what_it_hits_and_invents_nothing(tmp_path: Path) -> None:
    needs_house()
    hold(damage.run, tmp_path, "house", count=2000, seed=3)
