"""A house's data of any earlier version is brought to this one's tables, with all that is in it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from tests.support.house import TIME, House, all_points, all_spans, new_run, point, post, span
from tests.support.postgres import Postgres
from tracehoused.house.store import conversation, dialect, migrating, schema
from tracehoused.house.store.store import Store
from tracehoused.house.text import original, place_of, stored

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


def test_the_steps_from_the_first_lead_there_too(tmp_path: Path, postgres: Postgres) -> None:
    columns = """SELECT table_name, column_name, data_type, is_nullable, collation_name, character_maximum_length
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position"""
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    found: dict[str, list[object]] = {}
    for name, prepare in (("new", migrating.bring_up), ("steps", lambda one: migrating.upgrade(one, migrating.FIRST))):
        for kind, url in (("file", f"sqlite:///{tmp_path / name}"), ("server", postgres.url)):
            engine = dialect.open_engine(dialect.database_url(url), writes=True)
            with engine.begin() as connection:
                prepare(connection)
                asked = ["SELECT sql FROM sqlite_master ORDER BY 1"] if kind == "file" else [columns, indexes]
                told = [[tuple(row) for row in connection.exec_driver_sql(query)] for query in asked]
            # alembic writes its own table's statement in its own way.
            found.setdefault(kind, []).append(
                [row for rows in told for row in rows if "alembic_version" not in str(row)]
            )
            engine.dispose()
    assert found["file"][0] == found["file"][1]
    assert found["server"][0] == found["server"][1]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_spans_of_an_older_house_are_found_by_their_ids(
    tmp_path: Path, database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'db'}" if database == "sqlite" else request.getfixturevalue("postgres").url
    # the second and the third have one place
    ids = ["span-1", "span-179811", "span-14253064", stored("h\x00\udc80"), *(f"other-{n}" for n in range(30_000))]
    engine = dialect.open_engine(dialect.database_url(url), writes=True)
    with monkeypatch.context() as before, engine.begin() as connection:
        before.setattr(migrating, "REVISION", migrating.FIRST)
        migrating.upgrade(connection, migrating.FIRST)
        old = dialect.Bulk(schema.spans, ("trace", "id", "kind", "name", "start_at", "attributes"))
        dialect.run_many(connection, old, [(1, one, "user_msg", "old", TIME, "{}") for one in ids])
    with engine.begin() as connection:
        migrating.bring_up(connection)
        rest = ("user_msg", "new", TIME, None, None, None, "{}", None)
        conversation.put(connection, [(1, one, *rest, place_of(one)) for one in ("added", *reversed(ids))])
        held = connection.execute(select(schema.spans.c.id, schema.spans.c.name).order_by(schema.spans.c.n)).all()
    engine.dispose()
    assert held == [(original(one), "new") for one in (*ids, "added")]


def _with_step(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """One step more, as a later version would have."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(migrating.__file__.replace("migrating.py", "migrations"), folder)
    head = 'from alembic import op\nrevision = "0003"\ndown_revision = "0002"\n\n\ndef upgrade():\n'
    (folder / "versions" / "v0003_next.py").write_text(head + body)
    monkeypatch.setattr(migrating, "STEPS", folder)
    monkeypatch.setattr(migrating, "REVISION", "0003")


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_step_is_taken_wholly_or_not_at_all(
    tmp_path: Path, database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'db'}" if database == "sqlite" else request.getfixturevalue("postgres").url
    Store(url).close()
    added = '    op.execute("ALTER TABLE runs ADD COLUMN mood TEXT")\n'
    _with_step(tmp_path / "steps", monkeypatch, added + '    raise RuntimeError("halfway")\n')
    with pytest.raises(RuntimeError, match="halfway"):
        Store(url)
    _with_step(tmp_path / "steps", monkeypatch, added)
    # Had the first try left its column, the second would fail.
    with ThreadPoolExecutor(3) as threads:
        stores = list(threads.map(Store, [url] * 3))
    query = text("SELECT mood FROM runs")
    for store in stores:
        assert store.read(lambda connection: connection.execute(query).all()) == []
        store.close()


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
