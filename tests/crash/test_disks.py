"""E2, E3, S3: disks that are full, lose their power, drop what was not fsynced, or return other bytes than were written."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support import lanes
from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import calls, damage, full_disk, power_loss, unsynced
from tortures.calls import Call
from tortures.lost_writes import Disk
from tortures.trial import Unavailable


def test_e3_on_a_full_disk_nothing_is_lost_untold_and_all_goes_on_with_space(tmp_path: Path) -> None:
    hold(lambda trial: full_disk.run(trial, short=1), tmp_path, "root", count=6, seed=13)


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


_CALLS = """
import os, sys
at = sys.argv[1]
fd = os.open(f"{at}/file", os.O_RDWR | os.O_CREAT)
os.write(fd, b"what is there")
os.truncate(f"{at}/file", 5)
os.posix_fallocate(fd, 0, 100)
os.pwritev(fd, [b"x"], 3)
os.copy_file_range(fd, fd, 5, 0, 20)
os.symlink("file", f"{at}/link")
"""


def test_row_6_takes_no_call_that_it_does_not_know(tmp_path: Path) -> None:
    """Else what it would have lost is never looked for."""
    (tmp_path / "spool").mkdir()
    command = [sys.executable, "-c", _CALLS, str(tmp_path / "spool")]
    try:
        with pytest.raises(NotImplementedError, match=r"copy_file_range, fallocate, pwritev2?, symlink, truncate"):
            calls.traced(command, dict(os.environ), tmp_path / "calls", tmp_path)
    except Unavailable as reason:
        lanes.require("strace", str(reason))
    disk = Disk("/spool").apply_all([Call("openat", 1.0, 1.0, ("/spool/file",), creates=True)])
    disk.apply_all([Call("write", 1.0, 1.0, ("/spool/file",), b"what is there")])
    with pytest.raises(NotImplementedError, match="O_TRUNC"):
        disk.apply_all([Call("openat", 2.0, 2.0, ("/spool/file",), creates=True, empties=True)])
