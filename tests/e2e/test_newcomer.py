"""What someone tries who has not read much: words that are not quite right, places with nothing in them, and what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.home import Home
from tests.support.house import House

RUN = """
    run = cm.init_run(project="p", name="ppo-v1", client_run_id="run-id", capture_env=False, system_metrics=False)
    for n in range(3):
        run.log({"loss": float("nan") if n == 1 else n, "only/inf": float("inf"), "note": "x" * n})
    run.finish()
"""


@pytest.fixture
def alone(tmp_path: Path) -> Home:
    """A user without keys, whose server is not there."""
    (tmp_path / "spool").mkdir()
    return Home(tmp_path, "http://127.0.0.1:9")


def test_commands_that_do_not_exist_name_one_that_does(alone: Home) -> None:
    for word, told in (("synk", "did you mean 'sync'?"), ("frobnicate", "there are sync, status")):
        done = alone.run(word)
        assert done.code == 2
        assert told in done.err


def test_help_has_a_short_name_everywhere(alone: Home) -> None:
    for words in (("-h",), ("sync", "-h"), ("show", "-h")):
        done = alone.run(*words)
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("Usage:")


def test_a_place_with_nothing_in_it_is_named(alone: Home) -> None:
    done = alone.sync()
    assert done.code == 0
    assert f"no sessions in {alone.spool}" in done.err
    elsewhere = str(alone.directory / "elsewhere")
    assert elsewhere in alone.run("status", TRACEHOUSE_SPOOL_DIR=elsewhere).out
    assert elsewhere in alone.run("sync", TRACEHOUSE_SPOOL_DIR=elsewhere).err


def test_a_session_that_is_not_there_is_a_usage_error(alone: Home) -> None:
    alone.job(RUN)
    for more in ((), ("--dry-run",), ("--json",)):
        done = alone.sync("--session", "nope*", *more)
        assert done.code == 2
        assert "no session matches 'nope*'" in done.err
        assert "tracehouse status" in done.err


def test_status_has_the_runs_names_and_the_whole_reason(alone: Home) -> None:
    alone.job(RUN)
    head, row = alone.run("status").out.splitlines()
    assert head.split() == ["KIND", "ID", "NAME", "STATE", "RECORDS", "BYTES", "DEAD", "LAST", "ERROR"]
    assert row.startswith("run   run-id  ppo-v1  finished")
    assert alone.status()["name"] == "ppo-v1"
    assert row.endswith(alone.status()["trouble"])
    assert "--api-base URL" in row


def test_a_run_is_shown_by_its_name_and_with_all_its_series(alone: Home) -> None:
    alone.job(RUN)
    shown = alone.run("show", "ppo-v1")
    assert shown.code == 0, shown.err
    lines = {line.split("  ")[0].strip(): line for line in shown.out.splitlines()}
    assert "run run-id (ppo-v1)" in lines
    assert "2 points  and 1 that are no finite numbers" in lines["loss"]
    assert "last Infinity at step 2  3 values" in lines["only/inf"]
    assert 'last "xx" at step 2  3 values' in lines["note"]


def test_many_sessions_left_for_one_reason_are_told_together(alone: Home) -> None:
    alone.job("""
        for n in range(10):
            with cm.Run(session_id=f"s{n}") as run:
                run.log_user("x")
    """)
    left = [line for line in alone.sync().err.splitlines() if line.startswith("left:")]
    assert len(left) == 4
    assert left[-1].startswith("left: 7 more for the same reason")
    assert "--api-base URL" in left[0]


def test_a_server_that_is_not_there_is_named(alone: Home) -> None:
    alone.job(RUN)
    done = alone.sync(TRACEHOUSE_API_KEY="ba_0123456789abcdef")
    assert done.code == 1
    assert "left: run run-id: http://127.0.0.1:9: " in done.err


def test_an_address_without_a_scheme_is_put_right_for_this_machine_too(alone: Home) -> None:
    for given, meant in (("localhost:8765", "'http://localhost:8765'"), ("tracehouse.ai", "'https://tracehouse.ai'")):
        done = alone.run("login", "--api-base", given)
        assert done.code == 2
        assert f"did you mean {meant}?" in done.err


def test_sync_counts_the_records_that_status_counts(house: House, tmp_path: Path) -> None:
    home = Home(tmp_path, house.url).with_key(house.key)
    home.job(RUN)
    assert f"{home.status()['records']} records acknowledged" in home.sync().out
    assert "0 records acknowledged" in home.sync().out


def test_a_run_that_told_something_after_its_end_has_still_ended(alone: Home) -> None:
    alone.job("""
        with cm.init_run(client_run_id="run-id", capture_env=False, system_metrics=False) as run:
            run.log({"loss": 1})
        run.log({"late": 1})
    """)
    status = alone.status()
    assert (status["state"], status["acknowledged"]) == ("finished", 0)
