"""The wire protocol, as the house answers it."""

from __future__ import annotations

import base64
import gzip
import json
from hashlib import sha256
from urllib.parse import urlencode

import httpx
import pytest

from tests.support.house import TIME, House, all_points, all_spans, new_run, new_trace, point, post, span
from tracehoused.house.text import place_of

DATABASES = ("sqlite", "postgres")


def test_a_trace_is_upserted_by_machine_and_session(client: httpx.Client, house: House) -> None:
    body = {"session_id": "s", "started_at": TIME, "scaffold": "python-sdk", "model": "m1", "project": "p"}
    first = post(client, "/v1/traces", body).json()
    again = post(client, "/v1/traces", {**body, "model": "m2"}).json()
    elsewhere = post(client, "/v1/traces", body, X_Claude_Monitor_Machine_Id="another").json()
    assert (first["created"], again["created"], elsewhere["created"]) == (True, False, True)
    assert first["id"] == again["id"] != elsewhere["id"]
    held = client.get(f"/v1/traces/{first['id']}").json()
    assert (held["model"], held["project"], held["started_at"]) == ("m2", "p", TIME)


def test_a_span_sent_again_is_updated_in_its_place(client: httpx.Client) -> None:
    trace_id = new_trace(client)
    post(client, "/v1/spans", {"traces": [], "spans": [span(1, end_at=TIME), span(2)]})
    post(client, "/v1/spans", {"traces": [], "spans": [span(1, attributes={"text": "new"}), span(3)]})
    held = all_spans(client, trace_id)
    assert held == [span(1, end_at=TIME, attributes={"text": "new"}), span(2), span(3)]


def test_spans_whose_ids_have_one_place_are_told_apart(client: httpx.Client) -> None:
    trace_id = new_trace(client)
    ids = 179811, 14253064
    assert len({place_of(f"span-{number}") for number in ids}) == 1
    for batch in (
        [span(1), *map(span, ids), span(2)],
        [span(ids[1], name="b"), span(ids[0], name="a"), span(ids[1], name="c")],
    ):
        assert post(client, "/v1/spans", {"traces": [], "spans": batch}).json()["ingested"] == len(batch)
    assert {one["id"]: one["name"] for one in all_spans(client, trace_id)} == {
        "span-1": "user message",
        "span-2": "user message",
        "span-179811": "a",
        "span-14253064": "c",
    }


def test_a_batch_of_spans_is_applied_whole_or_not_at_all(client: httpx.Client) -> None:
    trace_id = new_trace(client)
    for bad in (span(2, kind="shout"), span(2, session_id="nobody")):
        answer = post(client, "/v1/spans", {"traces": [], "spans": [span(1), bad]})
        assert answer.status_code in (404, 422)
    assert all_spans(client, trace_id) == []
    assert answer.json()["sessions"] == ["nobody"]


def test_a_bad_span_is_named_by_its_index(client: httpx.Client) -> None:
    answer = post(client, "/v1/spans", {"traces": [], "spans": [span(1), span(2, start_at="yesterday")]})
    assert (answer.status_code, answer.json()["reason"], answer.json()["index"]) == (422, "invalid", 1)
    assert "yesterday" in answer.json()["message"]


def test_spans_of_many_sessions_in_one_batch_keep_their_order(client: httpx.Client) -> None:
    names = [f"s{number}" for number in range(1200)]
    traces = [{"session_id": name, "started_at": TIME, "scaffold": "x"} for name in names]
    parts = [{"traces": traces[at : at + 400], "spans": []} for at in range(0, 1200, 400)]
    made = [trace for part in parts for trace in post(client, "/v1/spans", part).json()["traces"]]
    spans = [span(number, name) for number in range(3) for name in names]
    assert post(client, "/v1/spans", {"traces": [], "spans": spans}).json() == {"ingested": 3600, "dropped": 0}
    assert all_spans(client, made[77]["id"]) == [span(number, "s77") for number in range(3)]


def test_a_batch_may_bring_its_traces(client: httpx.Client) -> None:
    traces = [{"session_id": "s", "started_at": TIME, "scaffold": "x"}]
    answer = post(client, "/v1/spans", {"traces": traces, "spans": [span(1, "s")]}).json()
    assert answer["traces"][0]["created"]
    assert all_spans(client, answer["traces"][0]["id"]) == [span(1, "s")]


def test_any_text_survives(client: httpx.Client) -> None:
    texts = ["\x00", "\ud800", "a\udfff\x00b", "\x1aj", '\x1aj"x"', "😀\u2028", "x" * 1_000_000, "", "\\ud800"]
    odd = {"big": 2**200, "deep": [[[{}]]], "tiny": 5e-324, **{f"k{text[:9]}": text for text in texts}}
    for at, text in enumerate(texts):
        session = f"{at}{text[:100]}"
        trace_id = new_trace(client, session, task_name=text, model=text, project=text)
        sent = span(1, session, id=f"i{text[:100]}", name=text, attributes={**odd, "text": text})
        assert post(client, "/v1/spans", {"traces": [], "spans": [sent]}).status_code == 200
        assert all_spans(client, trace_id) == [sent]
        held = client.get(f"/v1/traces/{trace_id}").json()
        assert (held["session_id"], held["task_name"], held["project"]) == (session, text, text)
        assert client.get(f"/t/{trace_id}").status_code == 200
    assert client.get("/").status_code == 200


def test_points_come_back_as_they_were_sent(client: httpx.Client) -> None:
    run_id = new_run(client)
    nan = {"_type": "number", "value": "NaN"}
    values = [0, -1, 0.1, 1e300, 2**53, 2**53 + 1, 2**100, nan, {"_type": "histogram", "counts": [1]}, "text", [1.5]]
    sent = [point(step, value) for step, value in enumerate(values)]
    assert post(client, f"/v1/runs/{run_id}/metrics", {"points": sent}).json() == {"ingested": 11, "dropped": 0}
    assert [held[4] for held in all_points(client, run_id)] == values
    assert {held[5] for held in all_points(client, run_id)} == {TIME}
    summary = client.get(f"/v1/runs/{run_id}").json()["metrics"][0]
    assert (summary["count"], summary["last_value"]) == (11, [1.5])


def test_booleans_are_numbers_and_empty_keys_are_dropped(client: httpx.Client) -> None:
    run_id = new_run(client)
    sent = [point(0, True), point(1, False), point(2, 1, key="")]
    assert post(client, f"/v1/runs/{run_id}/metrics", {"points": sent}).json() == {"ingested": 2, "dropped": 1}
    assert [held[4] for held in all_points(client, run_id)] == [1, 0]


def test_a_number_beyond_a_double_is_told_as_infinite(client: httpx.Client) -> None:
    run_id = new_run(client)
    body = json.dumps({"points": [point(0, 12345)]}).replace("12345", "-1e999")
    assert client.post(f"/v1/runs/{run_id}/metrics", content=body).status_code == 200
    assert all_points(client, run_id)[0][4] == {"_type": "number", "value": "-Infinity"}


def test_bare_nan_is_not_json(client: httpx.Client) -> None:
    run_id = new_run(client)
    body = json.dumps({"points": [point(0, float("nan"))]})
    answer = client.post(f"/v1/runs/{run_id}/metrics", content=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "malformed")


def test_steps_that_rewind_are_kept(client: httpx.Client) -> None:
    run_id = new_run(client)
    for value in (1, 2):
        post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(5, value), point(3, value)]})
    assert [(held[3], held[4]) for held in all_points(client, run_id)] == [(3, 1), (3, 2), (5, 1), (5, 2)]


def test_points_are_read_in_pages(client: httpx.Client) -> None:
    run_id = new_run(client)
    sent = [point(step, step, key) for key in ("a", "b", "c") for step in range(50)]
    post(client, f"/v1/runs/{run_id}/metrics", {"points": sent})
    got, after = [], None
    while True:
        params = {"limit": 7, **({} if after is None else {"after": after})}
        answer = client.get(f"/v1/runs/{run_id}/metrics", params=params).json()
        got += [(series["key"], step) for series in answer["series"] for step, _, _ in series["points"]]
        after = answer["next"]
        if after is None:
            break
    assert got == [(one["key"], one["step"]) for one in sent]


@pytest.mark.parametrize("count", [10, 3_000, 60_000])
def test_buckets_keep_every_extreme_and_every_count(client: httpx.Client, count: int) -> None:
    run_id = new_run(client)
    values = [float((step * 7919) % 10_007) for step in range(count)]
    for at in range(0, count, 20_000):
        sent = [point(step, values[step]) for step in range(at, min(count, at + 20_000))]
        assert post(client, f"/v1/runs/{run_id}/metrics", {"points": sent}).status_code == 200
    for wanted in (1, 5, 100):
        buckets = client.get(f"/v1/runs/{run_id}/metrics", params={"buckets": wanted}).json()["series"][0]["buckets"]
        assert len(buckets) <= wanted + 1
        assert sum(bucket[5] for bucket in buckets) == count
        assert (min(b[2] for b in buckets), max(b[3] for b in buckets)) == (min(values), max(values))
        assert sum(b[4] * b[5] for b in buckets) == pytest.approx(sum(values))


def test_a_run_is_upserted_and_its_config_merged(client: httpx.Client) -> None:
    run_id = new_run(client, config={"a": 1, "b": 1})
    answer = client.patch(f"/v1/runs/{run_id}", json={"config_patch": {"b": 2}, "status": "finished", "ended_at": TIME})
    assert answer.json() == {"id": run_id}
    assert new_run(client, config={"c": 3}) == run_id
    held = client.get(f"/v1/runs/{run_id}").json()
    assert (held["config"], held["status"], held["ended_at"]) == ({"a": 1, "b": 2, "c": 3}, "finished", TIME)
    client.patch(f"/v1/runs/{run_id}", json={"status": "running"})
    assert client.get(f"/v1/runs/{run_id}").json()["ended_at"] is None


def test_trace_metadata_merges_by_key(client: httpx.Client) -> None:
    trace_id = new_trace(client)
    for patch in ({"metadata": {"a": 1, "b": 1}}, {"metadata": {"b": 2}, "outcome": "bad"}, {"task_name": "t"}, {}):
        assert client.patch(f"/v1/traces/{trace_id}", json=patch).status_code == 200
    held = client.get(f"/v1/traces/{trace_id}").json()
    assert (held["metadata"], held["outcome"], held["task_name"]) == ({"a": 1, "b": 2}, "bad", "t")


def test_fields_of_a_newer_client_are_kept(client: httpx.Client) -> None:
    run_id = new_run(client, flavour="new")
    client.patch(f"/v1/runs/{run_id}", json={"signal": 15})
    assert client.get(f"/v1/runs/{run_id}").json()["extra"] == {"flavour": "new", "signal": 15}


def test_rollouts_belong_to_their_run(client: httpx.Client) -> None:
    run_id = new_run(client)
    ids = [new_trace(client, f"r{at}", run_id=run_id, rollout_step=at // 2) for at in range(4)]
    found = client.get(f"/v1/runs/{run_id}/rollouts").json()["rollouts"]
    assert [(one["id"], one["rollout_step"], one["run_id"]) for one in found] == [
        (trace_id, at // 2, run_id) for at, trace_id in enumerate(ids)
    ]
    found = client.get(f"/v1/runs/{run_id}/rollouts", params={"step": 1}).json()["rollouts"]
    assert [one["id"] for one in found] == ids[2:]


def test_media_are_served_by_range_under_their_own_type(client: httpx.Client) -> None:
    run_id, data = new_run(client), bytes(range(256)) * 100
    params = {"key": "val/grid é", "media_type": "video", "step": "-3", "caption": "a & b"}
    answer = client.post(f"/v1/runs/{run_id}/media", params=params, content=data, headers={"content-type": "video/mp4"})
    assert answer.json()["size"] == len(data)
    [held] = client.get(f"/v1/runs/{run_id}/media").json()["media"]
    assert (held["key"], held["step"], held["caption"]) == (params["key"], -3, params["caption"])
    for name in (held["id"], held["sha256"]):
        part = client.get(f"/v1/media/{name}", headers={"Range": "bytes=255-257"})
        assert (part.status_code, part.content) == (206, data[255:258])
        assert (part.headers["content-type"], part.headers["x-content-type-options"]) == ("video/mp4", "nosniff")
    assert client.get(held["url"]).content == data


def test_a_file_with_another_digest_than_was_told_is_refused_and_not_kept(client: httpx.Client, house: House) -> None:
    run_id, data = new_run(client), b"a picture"
    digest = base64.b64encode(sha256(data).digest()).decode()

    def send(body: bytes, told: str) -> httpx.Response:
        params = {"key": "k", "media_type": "image"}
        headers = {"content-type": "image/png", "content-digest": told, "idempotency-key": "one"}
        return client.post(f"/v1/runs/{run_id}/media", params=params, content=body, headers=headers)

    for wrong in (
        "sha-256=:AAAA:",
        "sha-256=?1",
        f"sha-256={digest}",
        "sha-256=",
        f"sha-512=:AAAA:, sha-256=:{digest[:-2]}:",
    ):
        assert (send(data, wrong).status_code, send(data, wrong).json()["reason"]) == (400, "malformed")
    refused = send(b"another", f"sha-256=:{digest}:")
    assert (refused.status_code, refused.json()["reason"]) == (400, "content_digest")
    assert list((house.data / "media").rglob(sha256(b"another").hexdigest())) == []
    for right in ("md5=:AAAA:", f"md5=:AAAA:, sha-256=:{digest}:;x=1"):
        assert send(data, right).json()["sha256"] == sha256(data).hexdigest()


def test_captions_and_keys_may_be_any_text(client: httpx.Client) -> None:
    run_id, caption = new_run(client), "\ud800\x00" + "long " * 12_000
    query = urlencode({"key": "\udfff/k", "media_type": "image", "caption": caption}, errors="surrogatepass")
    assert client.post(f"/v1/runs/{run_id}/media?{query}", content=b"x").status_code == 200
    [held] = client.get(f"/v1/runs/{run_id}/media").json()["media"]
    assert (held["key"], held["caption"]) == ("\udfff/k", caption)
    assert client.get(f"/r/{run_id}").status_code == 200
    for bad in ("key=k&key=k&media_type=image", "key=%ff&media_type=image"):
        assert client.post(f"/v1/runs/{run_id}/media?{bad}", content=b"x").status_code == 400


def test_artifacts_and_model_card(client: httpx.Client) -> None:
    run_id = new_run(client, "card | <b>", config={"lr": 1e-5}, hf_model="org/base")
    for _ in range(2):
        body = {"name": "environment", "kind": "json", "data": {"python": "3.9", "nan": 1}}
        assert post(client, f"/v1/runs/{run_id}/artifacts", body).status_code == 200
    [held] = client.get(f"/v1/runs/{run_id}/artifacts").json()["artifacts"]
    assert held["data"] == {"python": "3.9", "nan": 1}
    card = client.get(f"/v1/runs/{run_id}/model_card.md")
    assert card.headers["content-type"].startswith("text/markdown")
    assert "card \\| \\<b\\>" in card.text
    assert 'base_model: "org/base"' in card.text
    assert post(client, f"/v1/runs/{run_id}/push_model_card", {}).status_code == 501


def test_gzip_bodies_are_taken(client: httpx.Client) -> None:
    trace_id = new_trace(client)
    body = gzip.compress(json.dumps({"traces": [], "spans": [span(1)]}).encode())
    assert client.post("/v1/spans", content=body, headers={"content-encoding": "gzip"}).status_code == 200
    assert all_spans(client, trace_id) == [span(1)]
    assert client.post("/v1/spans", content=body[:-9], headers={"content-encoding": "gzip"}).status_code == 400
    assert client.post("/v1/spans", content=body, headers={"content-encoding": "br"}).status_code == 415


def test_what_was_deleted_answers_410_for_ever(client: httpx.Client) -> None:
    run_id = new_run(client)
    rollout = new_trace(client, "rollout", run_id=run_id)
    assert client.delete(f"/v1/runs/{run_id}").json() == {"id": run_id, "deleted": True}
    body = {"name": "run-1", "client_run_id": "run-1", "started_at": TIME}
    refused = [
        post(client, "/v1/runs", body),
        client.patch(f"/v1/runs/{run_id}", json={}),
        post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(0)]}),
        post(client, "/v1/spans", {"traces": [], "spans": [span(1, "rollout")]}),
        client.get(f"/v1/traces/{rollout}"),
        client.delete(f"/v1/runs/{run_id}"),
    ]
    assert [(answer.status_code, answer.json()["reason"]) for answer in refused] == [(410, "deleted")] * 6


def test_what_is_not_there_answers_404(client: httpx.Client) -> None:
    for path in ("/v1/runs/nope", "/v1/traces/nope", "/v1/runs/nope/metrics", "/v1/media/nope", "/v1/nope"):
        answer = client.get(path)
        assert (answer.status_code, type(answer.json()["reason"])) == (404, str)
    assert post(client, "/v1/runs/nope/metrics", {"points": []}).status_code == 404
    assert client.patch("/v1/traces/nope", json={}).status_code == 404
    body = {"session_id": "s", "started_at": TIME, "run_id": "nope"}
    assert post(client, "/v1/traces", body).json()["reason"] == "unknown_run"
    assert client.put("/v1/runs").status_code == 405


def test_capabilities(client: httpx.Client) -> None:
    told = client.get("/v1/capabilities").json()
    assert {"image", "video", "audio", "html", "file"} <= set(told["media_types"])
    assert (told["nonfinite"], told["verify"], told["gzip"]) == (True, True, True)
