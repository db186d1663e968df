"""A request that comes again has no second effect, and what was acknowledged is there after a SIGKILL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.house import House, all_points, all_spans, new_run, new_trace, once, point, post, span
from tests.support.waiting import wait_until

DATABASES = ("sqlite", "postgres")


def test_a1_fifty_copies_at_once_have_one_effect(client: httpx.Client) -> None:
    run_id = new_run(client)
    body = {"points": [point(step) for step in range(20)]}

    def send(_: int) -> httpx.Response:
        return post(client, f"/v1/runs/{run_id}/metrics", body, **once("fifty", 1, 20))

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(send, range(50)))
    taken = [answer for answer in answers if answer.status_code == 200]
    assert {answer.text for answer in taken} == {'{"ingested":20,"dropped":0}'}
    assert {answer.json()["reason"] for answer in answers if answer not in taken} <= {"in_flight"}
    assert send(0).headers["idempotency-replayed"] == "true"
    assert len(all_points(client, run_id)) == 20


def test_a1_a_known_range_has_no_effect_under_another_key(client: httpx.Client) -> None:
    run_id, trace_id = new_run(client), new_trace(client)
    for key in ("k1", "k2", "k3"):
        headers = once("known", 5, 9, key=f"{key}-m")
        answer = post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(1), point(2)]}, **headers)
        assert answer.json() == {"ingested": 2, "dropped": 0}
        spans = {"traces": [], "spans": [span(1, attributes={"text": key})]}
        assert post(client, "/v1/spans", spans, **once("known", 5, 9, key=f"{key}-s")).json()["ingested"] == 1
        params = {"key": "image", "media_type": "image"}
        answer = client.post(
            f"/v1/runs/{run_id}/media", params=params, content=b"x", headers=once("known", 5, 9, key=f"{key}-i")
        )
        assert answer.status_code == 200
        artifact = {"name": key, "kind": "text", "data": key}
        assert post(client, f"/v1/runs/{run_id}/artifacts", artifact, **once("known", 5, 9, key=f"{key}-a")).is_success
    assert len(all_points(client, run_id)) == 2
    assert all_spans(client, trace_id) == [span(1, attributes={"text": "k1"})]
    assert len(client.get(f"/v1/runs/{run_id}/media").json()["media"]) == 1
    assert [one["name"] for one in client.get(f"/v1/runs/{run_id}/artifacts").json()["artifacts"]] == ["k1"]


def test_a1_a_partly_known_range_is_refused_with_what_is_held(client: httpx.Client) -> None:
    run_id = new_run(client)
    for first, last in ((1, 4), (8, 9), (5, 5)):
        assert post(client, f"/v1/runs/{run_id}/metrics", {"points": []}, **once("partly", first, last)).is_success
    answer = post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(0)]}, **once("partly", 3, 12))
    assert (answer.status_code, answer.json()["reason"], answer.json()["have"]) == (409, "overlap", [[3, 5], [8, 9]])
    assert all_points(client, run_id) == []
    for uid, segment in (("other", "0a1b-1"), ("partly", "0a1b-2")):
        sent = post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(0)]}, **once(uid, 3, 12, segment=segment))
        assert sent.is_success
    assert len(all_points(client, run_id)) == 2


def test_a1_a_key_with_another_payload_is_refused(client: httpx.Client) -> None:
    run_id = new_run(client)
    path = f"/v1/runs/{run_id}/metrics"
    assert post(client, path, {"points": [point(0)]}, Idempotency_Key="again").is_success
    others = [
        post(client, path, {"points": [point(1)]}, Idempotency_Key="again"),
        post(client, path + "?x=1", {"points": [point(0)]}, Idempotency_Key="again"),
        client.patch(f"/v1/runs/{run_id}", json={}, headers={"Idempotency-Key": "again"}),
    ]
    assert [(answer.status_code, answer.json()["reason"]) for answer in others] == [(422, "key_reused")] * 3
    assert len(all_points(client, run_id)) == 1


def test_a_refused_request_leaves_its_key_and_range_free(client: httpx.Client) -> None:
    headers = once("free", 1, 1)
    body = {"traces": [], "spans": [span(1)]}
    assert post(client, "/v1/spans", body, **headers).status_code == 404
    new_trace(client)
    answer = post(client, "/v1/spans", body, **headers)
    assert (answer.status_code, "idempotency-replayed" in answer.headers) == (200, False)


def test_a_patch_known_by_its_range_does_not_undo_a_later_one(client: httpx.Client) -> None:
    run_id = new_run(client)
    client.patch(f"/v1/runs/{run_id}", json={"status": "running"}, headers=once("patch", 1, 1, key="p1"))
    client.patch(f"/v1/runs/{run_id}", json={"status": "finished"}, headers=once("patch", 2, 2, key="p2"))
    client.patch(f"/v1/runs/{run_id}", json={"status": "running"}, headers=once("patch", 1, 1, key="p3"))
    assert client.get(f"/v1/runs/{run_id}").json()["status"] == "finished"


def spans(uid: str, number: int, *, after: int | None = None, text: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """The body and the headers of a batch with one span; ``after``: the number of the one it is to come after."""
    headers = once(uid, number, number, key=f"{uid}-{number}")
    if after is not None:
        headers["X-Tracehouse-After"] = f"{uid}-{after}"
    return {"traces": [], "spans": [span(number, attributes={"text": text or str(number)})]}, headers


@pytest.mark.parametrize("how", ["the key of another", "part of a known range", "after one that never came"])
def test_a_refused_medium_leaves_no_file(client: httpx.Client, house: House, how: str) -> None:
    path, params = f"/v1/runs/{new_run(client)}/media", {"key": "k", "media_type": "image"}
    first = once(how.replace(" ", "-"), 1, 5)
    assert client.post(path, params=params, content=b"first", headers=first).is_success
    again = {
        "the key of another": first,
        "part of a known range": once(how.replace(" ", "-"), 3, 9),
        "after one that never came": {**once(how.replace(" ", "-"), 6, 9), "X-Tracehouse-After": "nobody"},
    }[how]
    before = sorted(house.data.glob("media/**/*"))
    content = f"refused for {how}".encode()
    assert client.post(path, params=params, content=content, headers=again).status_code in (409, 422, 425)
    assert sorted(house.data.glob("media/**/*")) == before


def test_a13_what_is_to_come_after_another_request_has_no_effect_without_that_one(client: httpx.Client) -> None:
    trace_id = new_trace(client)
    body, headers = spans("after", 2, after=1)
    for _ in range(2):
        answer = post(client, "/v1/spans", body, **headers)
        assert (answer.status_code, answer.json()["reason"]) == (425, "after")
    refused, first = spans("after", 1)
    assert post(client, "/v1/spans", {**refused, "spans": [{"id": "x"}]}, **first).status_code == 422
    assert post(client, "/v1/spans", body, **headers).status_code == 425, "a refused one has no effect"
    assert all_spans(client, trace_id) == []
    assert post(client, "/v1/spans", refused, **first).is_success
    assert post(client, "/v1/spans", body, **headers).is_success
    assert post(client, "/v1/spans", body, **headers).headers["idempotency-replayed"] == "true"
    assert [one["attributes"]["text"] for one in all_spans(client, trace_id)] == ["1", "2"]


def test_a13_a_small_request_sent_beside_a_large_one_does_not_overtake_it(client: httpx.Client) -> None:
    trace_id = new_trace(client)

    def send(number: int, after: int | None, text: str) -> httpx.Response:
        body, headers = spans("beside", number, after=after, text=text)
        return post(client, "/v1/spans", body, **headers)

    with ThreadPoolExecutor(2) as threads:
        for number in range(1, 40, 2):
            large = threads.submit(send, number, None, "x" * 300_000)
            small = threads.submit(send, number + 1, number, "y")
            assert large.result().is_success
            if not small.result().is_success:
                assert small.result().status_code == 425
                assert send(number + 1, number, "y").is_success
    assert [one["attributes"]["text"][0] for one in all_spans(client, trace_id)] == ["x", "y"] * 20


def test_requests_that_are_each_to_come_after_the_other_are_both_answered(client: httpx.Client) -> None:
    trace_id = new_trace(client)

    def send(pair: tuple[int, int]) -> int:
        body, headers = spans("circle", pair[0], after=pair[1])
        return post(client, "/v1/spans", body, **headers).status_code

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(send, [(1, 2), (2, 1), (3, 3)])) == [425] * 3
    assert all_spans(client, trace_id) == []


def test_points_of_attempts_and_writers_are_never_merged(client: httpx.Client) -> None:
    run_id = new_run(client)
    for attempt, segment in ((0, "aa-1"), (0, "aa-2"), (0, "bb-1"), (1, "cc-1")):
        headers = once("attempts", 1, 1, segment=segment, attempt=attempt)
        post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(7)]}, **headers)
    held = [(point_[1], point_[2]) for point_ in all_points(client, run_id)]
    assert held == [(0, "aa"), (0, "aa"), (0, "bb"), (1, "cc")]


def test_verify_tells_what_is_held(client: httpx.Client) -> None:
    run_id = new_run(client)
    post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(0)]}, **once("verify", 2, 5))
    params = {"key": "image", "media_type": "image"}
    sha256 = client.post(f"/v1/runs/{run_id}/media", params=params, content=b"picture").json()["sha256"]
    place = {"uid": "verify", "segment": "0a1b-1", "first": 1, "last": 9}
    sessions = [{**place, "endpoint": "metrics"}, {**place, "endpoint": "spans"}]
    answer = post(client, "/v1/verify", {"sessions": sessions, "media": [sha256, "0" * 64]}).json()
    assert [session["have"] for session in answer["sessions"]] == [[[2, 5]], []]
    assert answer["missing"] == ["0" * 64]


def test_sigkill_after_an_answer_loses_nothing(tmp_path: Path) -> None:
    house = House(tmp_path / "data").start()
    with house.client() as client:
        run_id, trace_id = new_run(client), new_trace(client)
        body = {"points": [point(step) for step in range(100)]}
        assert post(client, f"/v1/runs/{run_id}/metrics", body, **once("killed", 1, 100)).is_success
        params = {"key": "image", "media_type": "image"}
        sha256 = client.post(f"/v1/runs/{run_id}/media", params=params, content=b"picture").json()["sha256"]
        assert post(client, "/v1/spans", {"traces": [], "spans": [span(1)]}).is_success
        house.kill()
    house.start()
    with house.client() as client:
        assert len(all_points(client, run_id)) == 100
        assert client.get(f"/v1/media/{sha256}").content == b"picture"
        assert all_spans(client, trace_id) == [span(1)]
        again = post(client, f"/v1/runs/{run_id}/metrics", body, **once("killed", 1, 100))
        assert again.json() == {"ingested": 100, "dropped": 0}
        assert len(all_points(client, run_id)) == 100
    house.stop()


def test_sigkill_amid_writing_keeps_each_batch_whole_and_once(tmp_path: Path) -> None:
    house = House(tmp_path / "data").start()
    batches = range(400)

    def send(at: int) -> bool:
        body = {"points": [point(at * 10 + step) for step in range(10)]}
        try:
            return post(client, f"/v1/runs/{run_id}/metrics", body, **once("amid", at * 10, at * 10 + 9)).is_success
        except httpx.TransportError:
            return False

    with house.client() as client, ThreadPoolExecutor(8) as threads:
        run_id = new_run(client)
        sent = [threads.submit(send, at) for at in batches]
        wait_until(lambda: sum(one.done() for one in sent) >= 50, what="some batches acknowledged")
        house.kill()
        acknowledged = [at for at in batches if sent[at].result()]
    assert 0 < len(acknowledged) < len(batches)
    house.start()
    with house.client() as client:
        held = [point_[3] for point_ in all_points(client, run_id)]
        assert {at * 10 + step for at in acknowledged for step in range(10)} <= set(held)
        assert len(held) % 10 == 0
        assert all(send(at) for at in batches)
        assert [point_[3] for point_ in all_points(client, run_id)] == list(range(4000))
    assert house.stop() == 0
