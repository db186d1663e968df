"""E2, E3: a job killed, or whose disk fails, at any of its system calls: what its calls said was recorded arrives once."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import job_errors, job_kills, places

_FAILING = 60  # points


@pytest.mark.timeout(900)
def test_e2_a_job_killed_at_any_system_call_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    needs_house()
    hold(lambda trial: job_kills.run(trial, size=30), tmp_path, "strace", count=60)


@pytest.mark.timeout(900)
def test_e3_a_job_whose_disk_fails_ends_as_it_would_and_tells_what_is_lost(tmp_path: Path) -> None:
    needs_house()
    hold(lambda trial: job_errors.run(trial, size=30), tmp_path, "strace", count=_FAILING)


def test_what_disks_refuse_most_is_met_once_and_for_good_and_all_else_in_each_way_before_any_comes_again() -> None:
    for seed in range(20):
        faults = job_errors.faults(seed)
        most = {(*kind, times) for kind in job_errors.FIRST for times in ("{}", "{}+")}
        assert most <= set(faults[:_FAILING])
        assert {fault[:2] for fault in faults[:_FAILING]} == set(job_errors.KINDS)
        assert len(set(faults)) == len(faults) == len(job_errors.KINDS) * len(job_errors.TIMES)
        assert 2 * len(faults) < job_errors.COUNT


_JOB = """
work = Work(book, "r.", "a", 0)
for kind in ("point", "span", "rollout", "media", "artifact"): getattr(work, kind)(0)
work.finish()
"""


def test_the_judge_looks_at_what_is_in_things_and_at_how_they_ended(tmp_path: Path) -> None:
    needs_house()
    with House(tmp_path / "data") as house:
        home = Home(tmp_path, house.url).with_key(house.key)
        home.job(places.WORK + _JOB, str(tmp_path / "ledger"))
        account = oracle.Account().add(tmp_path / "ledger")
        assert home.sync().code == 0
        assert account.done == set(oracle.in_spool(home.spool))
        [blob] = (path for path in (house.data / "media").rglob("*") if path.is_file())
        whole = blob.read_bytes()
        os.truncate(blob, 0)
        assert _lost(house, account) == {"media"}
        blob.write_bytes(whole)
        assert _lost(house, account) == set()
        with sqlite3.connect(house.data / "house.db") as base:
            base.execute("UPDATE artifacts SET data = 'null'")
            base.execute("UPDATE runs SET status = 'running'")
            base.execute("UPDATE traces SET outcome = 'bad'")
        assert _lost(house, account) == {"artifact", "status", "outcome"}
        account.opened["r."] += 1  # somebody goes on with the run, and has not ended it
        assert "status" not in {item[0] for item in oracle.Account().join(account).done}


def _lost(house: House, account: oracle.Account) -> set[str]:
    return {item[0] for item in places.verdict(house, "r.", account).lost}
