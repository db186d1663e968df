"""A house's data of any earlier version is brought to this one's tables, with all that is in it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.support.house import House, all_points, all_spans, new_run, point, post, span
from tracehoused.house.store import dialect, migrating, schema

DATA = Path(__file__).parent / "data"


def _older(data: Path, name: str = "house-1.sql") -> Path:
    data.mkdir(mode=0o700)
    database = sqlite3.connect(data / "house.db")
    database.executescript((DATA / name).read_text(encoding="utf-8"))
    database.close()
    return data


def test_the_first_houses_data_is_upgraded_where_it_lies(tmp_path: Path) -> None:
    with House(_older(tmp_path / "data")) as house, house.client() as client:
        [run] = client.get("/v1/runs").json()["runs"]
        [trace] = client.get("/v1/traces").json()["traces"]
        assert (run["client_run_id"], run["config"], trace["metadata"]) == (
            "run-1",
            {"lr": 1e-5},
            {"reward": 1.5, "group": "a"},
        )
        assert [held[3] for held in all_points(client, run["id"])] == list(range(131))
        told = span(2, attributes={"text": "h\x00\udc80"})
        assert all_spans(client, trace["id"]) == [span(1), told]
        assert new_run(client) == run["id"]
        assert post(client, f"/v1/runs/{run['id']}/metrics", {"points": [point(131)]}).is_success
        assert post(
            client, "/v1/spans", {"traces": [], "spans": [span(2, attributes={"text": "new"}), span(3)]}
        ).is_success
        assert [one["id"] for one in all_spans(client, trace["id"])] == ["span-1", "span-2", "span-3"]


def test_the_steps_lead_to_the_tables_of_a_new_house(tmp_path: Path) -> None:
    found = {}
    for name, data in (("old", _older(tmp_path / "old")), ("new", tmp_path)):
        engine = dialect.open_engine(dialect.database_url(f"sqlite:///{data / 'house.db'}"), writes=True)
        with engine.begin() as connection:
            migrating.bring_up(connection)
            differs = compare_metadata(MigrationContext.configure(connection), schema.metadata)
            assert [one for one in differs if one[0] != "remove_table" or one[1].name != "alembic_version"] == []
        rows = sqlite3.connect(data / "house.db").execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        found[name] = sorted((*row[:3], " ".join(str(row[3]).split())) for row in rows)
        engine.dispose()
    assert found["old"] == found["new"]


def test_data_of_a_newer_step_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    data = _older(tmp_path / "data")
    before = "\n".join(sqlite3.connect(data / "house.db").iterdump())
    with sqlite3.connect(data / "house.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", "0", "--data", str(data)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "newer house" in ended.stderr, "Traceback" in ended.stderr) == (1, True, False)
    with sqlite3.connect(data / "house.db") as database:
        database.execute("DROP TABLE alembic_version")
    assert "\n".join(sqlite3.connect(data / "house.db").iterdump()) == before


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "house.db") as database:
        database.execute("CREATE TABLE runs (n INTEGER)")
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", "0", "--data", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "another program's table 'runs'" in ended.stderr) == (1, True)
