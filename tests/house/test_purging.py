"""What was deleted goes for good after a week, or at once where that is asked for: rows, files and all; 410 stays."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

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
def own(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "data") as house:
        yield house


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


class Killed(BaseException):
    pass


class Far:
    """Files somewhere far away: it takes as long as one likes until one is gone. `at`: where its house is killed."""

    def __init__(self, house: House, at: str = "") -> None:
        self.house, self.at = house, at
        self.asked, self.go_on = threading.Event(), threading.Event()

    def at_once(self) -> Far:
        self.go_on.set()
        return self

    def forget(self, sha256: str) -> bool:
        self.asked.set()
        if self.at == "before":
            raise Killed
        assert self.go_on.wait(60)
        blob(self.house, sha256).unlink(missing_ok=True)
        if self.at == "after":
            raise Killed
        return True


@contextmanager
def later(house: House, seconds: float = 0.0) -> Iterator[Any]:
    """The database of a house that is stopped, so long after eight days from now."""
    from tracehoused.house.store.store import Store

    store = Store(f"sqlite:///{house.data / 'house.db'}", clock=lambda: time.time() + 8 * 86400 + seconds)
    try:
        yield store
    finally:
        store.close()


def with_a_deleted_run(path: Path, data: bytes) -> tuple[House, str]:
    """A house that is stopped, and the hash of the file of a run that was deleted there."""
    with House(path) as house, house.client() as client:
        run = new_run(client, "gone")
        params = {"key": "k", "media_type": "file"}
        assert client.post(f"/v1/runs/{run}/media", params=params, content=data).is_success
        assert client.delete(f"/v1/runs/{run}").is_success
    return house, sha256(data).hexdigest()


def test_while_a_file_goes_far_away_nobody_waits_and_no_run_comes_to_name_it(tmp_path: Path) -> None:
    from tracehoused.house.errors import Refusal
    from tracehoused.house.store import removals
    from tracehoused.house.store.purging import purge

    house, name = with_a_deleted_run(tmp_path / "data", b"far away")
    far = Far(house)
    with later(house) as store, ThreadPoolExecutor(1) as thread:

        def check(since: int) -> None:
            store.write(lambda connection: removals.check(connection, name, since, store.now_us())).result(60)

        purging = thread.submit(purge, store, far)
        assert far.asked.wait(60)
        since = store.read(removals.so_far)
        with pytest.raises(Refusal, match="being removed"):
            check(since)
        purge(store, Far(house, "before"))  # another house leaves it to the first
        with pytest.raises(Refusal):
            check(since)
        far.go_on.set()
        purging.result()
        with pytest.raises(Refusal):
            check(since)  # it was seen to be there before it went
        check(store.read(removals.so_far))
    assert rows(house)["media"] == 0


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_house_killed_while_a_file_goes_ends_that_the_next_time(tmp_path: Path, at: str) -> None:
    from tracehoused.house.store.purging import purge
    from tracehoused.house.store.removals import STALE_US

    data, params = b"half gone", {"key": "k", "media_type": "file"}
    house, name = with_a_deleted_run(tmp_path / "data", data)
    far = Far(house, at)
    far.go_on.set()
    with later(house) as store, pytest.raises(Killed):
        purge(store, far)
    assert rows(house)["media"] == 1
    with later(house, STALE_US / 1e6) as store:
        purge(store, Far(house).at_once())
    assert rows(house)["media"] == 0
    assert not blob(house, name).exists()
    with house, house.client() as client:
        answer = client.post(f"/v1/runs/{new_run(client, 'other')}/media", params=params, content=data)
        assert client.get(f"/v1/media/{answer.json()['id']}").content == data


@pytest.mark.parametrize("state", ["going", "gone"])
def test_a_file_that_goes_somewhere_else_while_it_is_sent_again_is_not_acknowledged(own: House, state: str) -> None:
    data, params = b"sent again", {"key": "k", "media_type": "file"}
    note = ("removal/" + sha256(data).hexdigest(), json.dumps([7, state, int(time.time() * 1e6)]))
    with own.client() as client, closing(sqlite3.connect(own.data / "house.db", isolation_level=None)) as database:
        run = new_run(client)
        database.execute("INSERT INTO house VALUES (?, ?)", note)
        answer = client.post(f"/v1/runs/{run}/media", params=params, content=data)
        assert (answer.status_code, answer.json()["reason"]) == (503, "storage")
        # its few tries are not to end before the note is old
        assert (answer.headers.get("Retry-After") == "300") == (state == "going")
        database.execute("INSERT INTO house VALUES ('removals', '7')")
        database.execute("UPDATE house SET value = replace(value, 'going', 'gone') WHERE name = ?", note[:1])
        answer = client.post(f"/v1/runs/{run}/media", params=params, content=data)
        assert client.get(f"/v1/media/{answer.json()['id']}").content == data


def test_a_house_killed_while_a_file_goes_takes_the_same_bytes_at_once_when_it_is_back(tmp_path: Path) -> None:
    data, params = b"half gone", {"key": "k", "media_type": "file"}
    house, _ = with_a_deleted_run(tmp_path / "data", data)
    note = ("removal/" + sha256(data).hexdigest(), json.dumps([1, "going", int(time.time() * 1e6)]))
    with closing(sqlite3.connect(house.data / "house.db", isolation_level=None)) as database:
        database.execute("INSERT INTO house VALUES (?, ?)", note)
    with house, house.client() as client:
        answer = client.post(f"/v1/runs/{new_run(client, 'other')}/media", params=params, content=data)
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
        wait_until(lambda: rows(house)["media"] == 2 and not rows(house)["spans"], what=lambda: f"{rows(house)}")
        (blob(house, name) / "in the way").rmdir()
        blob(house, name).rmdir()
        assert owner.post("/purge", data={"kind": "run", "id": stuck}).status_code == 303
        wait_until(lambda: not any(rows(house).values()), what=lambda: f"nothing left: {rows(house)}")


def test_any_number_of_files_may_have_gone(tmp_path: Path) -> None:
    from tracehoused.house.blobs import Blobs
    from tracehoused.house.store.purging import purge
    from tracehoused.house.store.store import Store

    store = Store(f"sqlite:///{tmp_path / 'house.db'}")
    if sys.version_info >= (3, 11):
        most = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
        store.write(lambda connection: connection.connection.driver_connection.setlimit(most, 999)).result()
    with closing(sqlite3.connect(tmp_path / "house.db")) as database:
        notes = ((f"removal/{at:064x}", json.dumps([at, "gone", 0])) for at in range(1000))
        database.executemany("INSERT INTO house VALUES (?, ?)", notes)
        database.commit()
        purge(store, Blobs(tmp_path / "media"))
        store.close()
        assert database.execute("SELECT count(*) FROM house WHERE name LIKE 'removal/%'").fetchone() == (0,)


def test_a15_answers_are_remembered_until_a_clock_that_runs_evenly_says_that_they_are_old(tmp_path: Path) -> None:
    from tracehoused.house.blobs import Blobs
    from tracehoused.house.store.purging import purge
    from tracehoused.house.store.store import Store

    with House(tmp_path / "data") as house, house.client() as client:
        run = new_run(client)
        body, headers = {"points": [point(0)]}, {"Idempotency-Key": "once"}
        assert post(client, f"/v1/runs/{run}/metrics", body, **headers).is_success

    def kept() -> int:
        with closing(sqlite3.connect(house.data / "house.db")) as database:
            return int(database.execute("SELECT count(*) FROM requests").fetchone()[0])

    files = Blobs(house.data / "media")
    store = Store(f"sqlite:///{house.data / 'house.db'}", clock=lambda: time.time() + 100 * 86400)
    purge(store, files, aged=False)
    assert kept() == 1
    purge(store, files)
    store.close()
    assert kept() == 0


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
