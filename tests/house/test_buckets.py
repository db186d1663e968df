"""Media in a bucket: sent and shown as from a directory, through any process of a house."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tests.support.buckets import Buckets
from tests.support.house import House, new_run, new_trace, point, post, span
from tests.support.pictures import png
from tests.support.postgres import Postgres
from tests.support.waiting import wait_until

FILM = b"".join(n.to_bytes(4, "big") for n in range(600_000))


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    with Buckets() as running:
        yield running


@pytest.fixture(scope="module")
def bucket(buckets: Buckets) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in buckets.environ.items():
            patch.setenv(name, value)
        yield "s3://house/media/of a team"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, bucket: str) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house") / "data", "--media", bucket) as running:
        yield running


def _send(client: httpx.Client, run_id: str, data: bytes, mime: str, **params: str) -> httpx.Response:
    return client.post(f"/v1/runs/{run_id}/media", params=params, content=data, headers={"content-type": mime})


def test_media_come_back_in_whole_and_in_parts_as_from_a_directory(tmp_path: Path, client: httpx.Client) -> None:
    asked = ["", "bytes=0-", "bytes=0-0", "bytes=5-1048580", "bytes=2399999-", "bytes=-7", "bytes=-9999999"]
    asked += ["bytes=2400000-", "bytes=1-99999999"]
    with House(tmp_path / "data") as file, file.client() as other:
        found = []
        for one in (client, other):
            run_id = new_run(one)
            sent = _send(one, run_id, FILM, "video/mp4", key="film", media_type="video").json()
            assert (sent["sha256"], sent["size"]) == (hashlib.sha256(FILM).hexdigest(), len(FILM))
            answers = [one.get(f"/v1/media/{sent['id']}", headers={"range": part} if part else {}) for part in asked]
            head = one.head(f"/v1/media/{sent['id']}")
            found.append(
                [
                    (answer.status_code, answer.headers.get("content-range"), answer.content)
                    for answer in answers
                    if answer.status_code < 400
                ]
                + [(head.status_code, head.headers["content-length"], head.content)]
            )
            assert answers[7].status_code == 416
            assert answers[0].headers["accept-ranges"] == "bytes"
            assert answers[0].headers["content-type"] == "video/mp4"
            assert "sandbox" in answers[0].headers["content-security-policy"]
    assert found[0] == found[1]
    assert [part[0] for part in found[0]] == [200, *[206] * 7, 200]


def test_the_pages_show_pictures_and_the_disk(client: httpx.Client, house: House, buckets: Buckets) -> None:
    run_id, picture = new_run(client), png(8, 8, 8)
    for step in range(3):
        assert _send(client, run_id, picture, "image/png", key="sample", media_type="image", step=str(step)).is_success
    assert _send(client, run_id, b"", "text/plain", key="empty", media_type="file").is_success
    page = client.get(f"/r/{run_id}/media").text
    [source] = set(re.findall(r'<img[^>]* src="(/v1/media/[^"]+)"', page))
    assert client.get(source).content == picture
    digest = hashlib.sha256(picture).hexdigest()
    assert f"media/of a team/{digest[:2]}/{digest}" in buckets.names()
    assert re.search(r"<small>in \d files</small>", _signed_in(house, "/disk"))


def _signed_in(house: House, page: str) -> str:
    headers = {"origin": house.url}
    with httpx.Client(base_url=house.url, headers=headers, timeout=60) as browser:
        assert browser.post("/signin", data={"key": house.key}).status_code == 200
        return browser.get(page).text


def test_a_file_that_the_bucket_lost_is_missing(client: httpx.Client, buckets: Buckets) -> None:
    run_id = new_run(client)
    sent = [_send(client, run_id, data, "text/plain", key="f", media_type="file").json() for data in (b"one", b"two")]
    hashes = [one["sha256"] for one in sent]
    assert post(client, "/v1/verify", {"media": hashes}).json()["missing"] == []
    buckets.client.delete_object(Bucket="house", Key=f"media/of a team/{hashes[0][:2]}/{hashes[0]}")
    assert post(client, "/v1/verify", {"media": hashes}).json()["missing"] == hashes[:1]
    assert [client.get(f"/v1/media/{one['id']}").status_code for one in sent] == [404, 200]
    assert _send(client, run_id, b"one", "text/plain", key="f", media_type="file").is_success
    assert client.get(f"/v1/media/{sent[0]['id']}").content == b"one"


def test_larger_media_than_allowed_are_refused_and_leave_nothing(client: httpx.Client, buckets: Buckets) -> None:
    run_id, before = new_run(client), buckets.names()
    limit = client.get("/v1/capabilities").json()["max_media_bytes"]

    def much() -> Iterator[bytes]:
        for _ in range(limit // 1_000_000 + 2):
            yield b"x" * 1_000_000

    answer = client.post(f"/v1/runs/{run_id}/media", params={"key": "k", "media_type": "file"}, content=much())
    assert (answer.status_code, buckets.names()) == (413, before)


def test_a_bucket_that_cannot_be_reached_is_told_as_503_and_then_all_goes_on(tmp_path: Path, buckets: Buckets) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**buckets.environ, "AWS_MAX_ATTEMPTS": "1"}.items():
            patch.setenv(name, value)
        house = House(tmp_path / "data", "--media", "s3://house/away").start()
    try:
        _refused_while_away(house, buckets)
    finally:
        house.stop()


def _refused_while_away(house: House, buckets: Buckets) -> None:
    with house.client() as client:
        run_id = new_run(client)
        sent = _send(client, run_id, b"before", "text/plain", key="f", media_type="file").json()
        buckets.stop()
        try:
            refused = _send(client, run_id, b"while", "text/plain", key="f", media_type="file")
            shown = client.get(f"/v1/media/{sent['id']}")
        finally:
            buckets.start_again()
        assert (refused.status_code, refused.json()["reason"], shown.status_code) == (503, "storage", 503)
        assert len(client.get(f"/v1/runs/{run_id}/media").json()["media"]) == 1
        wait_until(lambda: _send(client, run_id, b"while", "text/plain", key="f", media_type="file").is_success)
        assert client.get(f"/v1/media/{sent['id']}").content == b"before"


def test_two_processes_on_postgresql_share_the_bucket(tmp_path: Path, bucket: str, postgres: Postgres) -> None:
    options = ["--database", postgres.url, "--media", bucket]
    houses = House(tmp_path / "one", *options), House(tmp_path / "two", *options)
    with houses[0] as one, houses[1] as two, one.client() as client, two.client() as other:
        run_id = new_run(client)
        sent = _send(client, run_id, b"shared", "text/plain", key="f", media_type="file").json()
        assert other.get(f"/v1/media/{sent['id']}").content == b"shared"
        assert not (one.data / "media").exists()
        assert "on a server of its own" in _signed_in(two, "/disk")


def test_only_what_is_old_and_unused_is_forgotten(
    bucket: str, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracehoused.house import buckets as module

    kept = module.Bucket(bucket)
    arriving = kept.begin()
    arriving.add(b"unused")
    sha256, _ = arriving.keep()
    assert not kept.forget(sha256)
    assert kept.missing([sha256, "0" * 64]) == {"0" * 64}
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=later.timestamp))
    assert kept.forget(sha256)
    assert kept.missing([sha256]) == {sha256}
    assert kept.forget(sha256)


def test_what_was_deleted_goes_for_good_from_database_and_bucket(
    tmp_path: Path, bucket: str, postgres: Postgres, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracehoused.house import buckets as module
    from tracehoused.house.store.purging import purge
    from tracehoused.house.store.store import Store

    url = postgres.url
    with House(tmp_path / "data", "--database", url, "--media", bucket) as house, house.client() as client:
        gone, stays = new_run(client, "gone"), new_run(client, "stays")
        new_trace(client, "rollout", run_id=gone, rollout_step=1)
        assert post(client, "/v1/spans", {"traces": [], "spans": [span(1, "rollout")]}).is_success
        for run_id in (gone, stays):
            assert post(
                client, f"/v1/runs/{run_id}/metrics", {"points": [point(step) for step in range(100)]}
            ).is_success
            for data in (run_id.encode(), b"in both"):
                assert _send(client, run_id, data, "text/plain", key="f", media_type="file").is_success
        assert client.delete(f"/v1/runs/{gone}").is_success
        later = datetime.now(timezone.utc) + timedelta(days=8)
        monkeypatch.setattr(module, "time", SimpleNamespace(time=later.timestamp))
        store = Store(url, later.timestamp)
        purge(store, module.Bucket(bucket))
        store.close()
        assert client.get(f"/v1/runs/{gone}").status_code == 410
        assert len(client.get(f"/v1/runs/{stays}/media").json()["media"]) == 2
    left = {name.rpartition("/")[2] for name in buckets.names()}
    hashes = [hashlib.sha256(data).hexdigest() for data in (gone.encode(), stays.encode(), b"in both")]
    assert [one in left for one in hashes] == [False, True, True]
    name = url.partition("@/")[2].partition("?")[0]
    counts = [postgres.sql(f"SELECT count(*) FROM {table}", name)[0][0] for table in ("points", "spans", "media")]
    assert counts == [100, 0, 2]


def test_a_directory_may_be_named_by_its_url(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    with House(tmp_path / "data", "--media", folder.as_uri()) as house, house.client() as client:
        sent = _send(client, new_run(client), b"here", "text/plain", key="f", media_type="file").json()
        assert (folder / sent["sha256"][:2] / sent["sha256"]).read_bytes() == b"here"


def test_an_upload_of_one_process_survives_the_start_of_another(tmp_path: Path, postgres: Postgres) -> None:
    options = ["--database", postgres.url]
    with House(tmp_path / "data", *options) as one, one.client() as client:
        run_id = new_run(client)

        def slow() -> Iterator[bytes]:
            yield b"a" * 1_000_000
            wait_until(lambda: list((one.data / "media" / "incoming").iterdir()), what="the upload is under way")
            with House(tmp_path / "data", *options):
                yield b"b"

        answer = client.post(f"/v1/runs/{run_id}/media", params={"key": "k", "media_type": "file"}, content=slow())
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "url,told",
    [
        ("s3://nowhere/x", "media cannot be reached"),
        ("ftp://x/y", "s3://bucket/prefix or file:///directory"),
        ("s3://", "s3://bucket/prefix"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(tmp_path: Path, bucket: str, url: str, told: str) -> None:
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", "0", "--data", str(tmp_path), "--media", url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, told in ended.stderr, "Traceback" in ended.stderr) == (1, True, False), ended.stderr
