"""What was deleted goes for good after a week, or at once where that is asked for: rows, files and all; 410 stays."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.support.house import House, new_run, new_trace, point, post, span
from tests.support.pictures import png
from tests.support.waiting import wait_until

SECRET = "very-secret-word"
CONTENT = ("points", "series", "spans", "media", "artifacts", "rollups", "odd_values", "shares")


def fill(client: httpx.Client, name: str) -> tuple[str, str, str]:
    """A run with everything in it, one of its rollouts, and the hash of a picture of its own."""
    run = new_run(client, name, config={SECRET: SECRET}, project=SECRET)
    post(client, f"/v1/runs/{run}/metrics", {"points": [point(step, 0.5, SECRET) for step in range(200)]})
    post(client, f"/v1/runs/{run}/metrics", {"points": [point(1, {"_type": "number", "value": "NaN"}, "odd")]})
    post(client, f"/v1/runs/{run}/artifacts", {"name": "a", "kind": "text", "data": SECRET})
    trace = new_trace(client, f"{name}-rollout", run_id=run, rollout_step=1, task_name=SECRET)
    said = span(1, f"{name}-rollout", attributes={"text": SECRET})
    assert post(client, "/v1/spans", {"traces": [], "spans": [said]}).is_success
    own, shared = png(*name.encode()[:3]), png(7, 7, 7)
    for key, data in (("own", own), ("own", own), ("shared", shared)):
        params = {"key": key, "media_type": "image", "caption": SECRET}
        assert client.post(f"/v1/runs/{run}/media", params=params, content=data).is_success
    return run, trace, sha256(own).hexdigest()


def rows(house: House) -> dict[str, int]:
    with sqlite3.connect(house.data / "house.db") as database:
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in CONTENT}


def blob(house: House, name: str) -> Path:
    return house.data / "media" / name[:2] / name


def age(house: House) -> None:
    """The files were sent an hour ago."""
    for path in (house.data / "media").glob("??/*"):
        os.utime(path, (time.time() - 3600,) * 2)


@contextmanager
def browser(house: House) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}, timeout=60) as made:
        assert made.post("/signin", data={"key": house.key}).status_code == 200
        yield made


@pytest.fixture
def own(tmp_path: Path) -> House:
    return House(tmp_path / "data").start()


def test_what_is_deleted_for_good_leaves_nothing_but_its_410(own: House) -> None:
    with own.client() as client:
        kept, _, kept_blob = fill(client, "kept")
        before = rows(own)
        gone, rollout, gone_blob = fill(client, "gone")
        lone = new_trace(client, "lone", task_name=SECRET)
        post(client, "/v1/spans", {"traces": [], "spans": [span(1, "lone")]})
        assert client.delete(f"/v1/runs/{gone}").is_success
        assert client.delete(f"/v1/traces/{lone}").is_success
        age(own)
        with browser(own) as owner:
            assert owner.post("/shares", data={"kind": "run", "id": kept, "days": "7"}).is_success
            assert "Goes for good" in owner.get("/deleted").text
            for kind, target in (("run", gone), ("trace", lone)):
                assert owner.post("/purge", data={"kind": kind, "id": target}).status_code == 303
            wait_until(lambda: rows(own) == {**before, "shares": 1}, what=lambda: f"{rows(own)}, not {before}")
            wait_until(lambda: not blob(own, gone_blob).exists(), what="the file is removed")
            assert gone not in owner.get("/deleted").text
            assert owner.post("/restore", data={"kind": "run", "id": gone}).status_code == 410
        assert blob(own, kept_blob).exists()
        media = client.get(f"/v1/runs/{kept}/media").json()["media"]
        assert all(client.get(one["url"]).is_success for one in media)
        for path in (f"/v1/runs/{gone}", f"/v1/traces/{rollout}", f"/v1/traces/{lone}"):
            assert client.get(path).status_code == 410
        again = {"name": "gone", "client_run_id": "gone", "started_at": "2026-01-01T00:00:00Z"}
        assert post(client, "/v1/runs", again).status_code == 410
        client.delete(f"/v1/runs/{kept}")
        with browser(own) as owner:
            owner.post("/purge", data={"kind": "run", "id": kept})
        wait_until(lambda: not any(rows(own).values()), what=lambda: f"nothing left: {rows(own)}")
    assert own.stop() == 0
    assert SECRET.encode() not in (own.data / "house.db").read_bytes()
    assert not list((own.data / "media").glob("??/*"))


def test_a_week_goes_by_first_and_a_file_sent_again_stays(tmp_path: Path) -> None:
    from tracehoused.house.blobs import Blobs
    from tracehoused.house.store.purging import UNDO_US, purge
    from tracehoused.house.store.store import Store

    with House(tmp_path / "data") as house, house.client() as client:
        run, trace, named = fill(client, "week")
        client.delete(f"/v1/runs/{run}")
        before = rows(house)
    for days, left in ((6.9, True), (7.1, False)):
        store = Store(f"sqlite:///{house.data / 'house.db'}", clock=lambda days=days: time.time() + days * 86400)
        try:
            purge(store, Blobs(house.data / "media"))
        finally:
            store.close()
        assert (rows(house)["points"] > 0) is left
    assert UNDO_US == 7 * 86400 * 1_000_000
    # the files came a moment ago, so that they and their rows wait for the next time
    assert rows(house)["media"] == before["media"]
    assert blob(house, named).exists()
    age(house)
    store = Store(f"sqlite:///{house.data / 'house.db'}", clock=lambda: time.time() + 8 * 86400)
    purge(store, Blobs(house.data / "media"))
    store.close()
    assert not any(rows(house).values())
    assert not blob(house, named).exists()
    with house, house.client() as client:
        assert client.get(f"/v1/traces/{trace}").status_code == 410


def test_a_rollout_is_not_brought_back_into_a_run_that_goes(tmp_path: Path) -> None:
    with House(tmp_path / "data") as house, house.client() as client, browser(house) as owner:
        run, trace, _ = fill(client, "both")
        for path in (f"/v1/traces/{trace}", f"/v1/runs/{run}"):
            assert client.delete(path).is_success
        answer = owner.post("/restore", data={"kind": "trace", "id": trace})
        assert (answer.status_code, "bring that back first" in answer.text) == (409, True)
        for kind, target in (("run", run), ("trace", trace)):
            assert owner.post("/restore", data={"kind": kind, "id": target}).status_code == 303
        assert client.get(f"/v1/traces/{trace}").status_code == 200


def test_a_file_that_goes_while_it_is_sent_again_is_not_acknowledged(tmp_path: Path) -> None:
    data, params = b"sent twice", {"key": "k", "media_type": "file"}
    with House(tmp_path / "data") as house, house.client() as client, ThreadPoolExecutor(1) as thread:
        run, kept = new_run(client), blob(house, sha256(data).hexdigest())
        with closing(sqlite3.connect(house.data / "house.db", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")  # the upload's row waits, its file does not
            sent = thread.submit(client.post, f"/v1/runs/{run}/media", params=params, content=data)
            wait_until(kept.exists, what="the file is there")
            kept.unlink()
            database.execute("ROLLBACK")
        assert (sent.result().status_code, sent.result().json()["reason"]) == (503, "storage")
        answer = client.post(f"/v1/runs/{run}/media", params=params, content=data)
        assert client.get(f"/v1/media/{answer.json()['id']}").content == data


def test_a_file_that_cannot_be_removed_keeps_only_its_own_run(tmp_path: Path) -> None:
    with House(tmp_path / "data") as house, house.client() as client, browser(house) as owner:
        (stuck, _, name), (other, _, _), lone = fill(client, "stuck"), fill(client, "other"), new_trace(client, "lone")
        post(client, "/v1/spans", {"traces": [], "spans": [span(1, "lone")]})
        blob(house, name).unlink()
        (blob(house, name) / "in the way").mkdir(parents=True)
        age(house)
        for kind, target in (("run", stuck), ("run", other), ("trace", lone)):
            assert client.delete(f"/v1/{kind}s/{target}").is_success
            assert owner.post("/purge", data={"kind": kind, "id": target}).status_code == 303
        wait_until(lambda: rows(house)["media"] == 3 and not rows(house)["spans"], what=lambda: f"{rows(house)}")
        (blob(house, name) / "in the way").rmdir()
        blob(house, name).rmdir()
        assert owner.post("/purge", data={"kind": "run", "id": stuck}).status_code == 303
        wait_until(lambda: not any(rows(house).values()), what=lambda: f"nothing left: {rows(house)}")


def test_a15_a_clock_far_ahead_at_the_start_destroys_nothing(tmp_path: Path) -> None:
    from tracehoused.house.blobs import Blobs
    from tracehoused.house.purger import Purger
    from tracehoused.house.store.store import Store

    with House(tmp_path / "data") as house, house.client() as client:
        deleted, condemned = fill(client, "deleted")[0], fill(client, "condemned")[0]
        for run in (deleted, condemned):
            assert client.delete(f"/v1/runs/{run}").is_success
        age(house)
    with closing(sqlite3.connect(house.data / "house.db")) as database:
        database.execute("UPDATE runs SET deleted_us = 1 WHERE id = ?", (condemned,))
        database.commit()
    store = Store(f"sqlite:///{house.data / 'house.db'}", clock=lambda: time.time() + 8 * 86400)
    purger = Purger(store, Blobs(house.data / "media"))
    purger.start()
    purger.look_now()
    wait_until(lambda: rows(house)["artifacts"] == 1, what=lambda: f"one is left: {rows(house)}")
    purger.close()
    store.close()
    with house, house.client() as client, browser(house) as owner:
        assert owner.post("/restore", data={"kind": "run", "id": deleted}).status_code == 303
        assert len(client.get(f"/v1/runs/{deleted}/media").json()["media"]) == 3
