"""Bodies as the wire protocol has them: a metrics record becomes one point a key, by either way to the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracehoused.upload import wire
from tracehoused.upload.batch import Batch, Bounds

TAGGED = [{"_type": "number", "value": name} for name in ("NaN", "Infinity", "-Infinity")]
KEYS = st.one_of(
    st.sampled_from(["loss", "a/b", "é", 'quo"te', "back\\slash", "", " ", "comma,", "colon:", "}"]), st.text()
)
VALUES = st.one_of(
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(),
    st.sampled_from(TAGGED),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.none(), st.text()), max_size=3),
)
RECORDS = st.fixed_dictionaries(
    {
        "step": st.integers(-(2**63), 2**63),
        "wall_time": st.sampled_from(["2026-01-02T03:04:05.000006Z", "", 'odd"time']),
        "values": st.dictionaries(KEYS, VALUES, max_size=6),
    }
)


def told(record: dict[str, Any], nonfinite: bool) -> list[dict[str, Any]]:
    """What is to be sent for a record."""
    return [
        {"key": key, "step": record["step"], "value": value, "wall_time": record["wall_time"]}
        for key, value in record["values"].items()
        if key and (nonfinite or value not in TAGGED)
    ]


def encoded(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


@given(RECORDS, st.booleans())
def test_a_record_becomes_a_point_a_key_with_its_value_as_it_was(record: dict[str, Any], nonfinite: bool) -> None:
    body, count = wire.points(encoded(record), nonfinite)
    found = json.loads(b"[" + body + b"]")
    assert found == told(record, nonfinite)
    assert [type(point["value"]) for point in found] == [type(point["value"]) for point in told(record, nonfinite)]
    assert count == len(found)


@given(
    st.dictionaries(
        st.text("aeE019/_., é:-+", min_size=1),
        st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()),
        min_size=1,
    )
)
def test_the_fast_way_and_the_slow_way_say_the_same(values: dict[str, Any]) -> None:
    record = {"step": 3, "wall_time": "2026-01-02T03:04:05.000006Z", "values": values}
    fast, count = wire.points(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode(), False)
    slow, slow_count = wire.points(json.dumps(record).encode(), False)  # blanks in it: no frame that the fast way knows
    assert json.loads(b"[" + fast + b"]") == json.loads(b"[" + slow + b"]")
    assert count == slow_count == len(values)


def test_what_is_made_of_a_record_does_not_hang_on_those_before_it() -> None:
    """Alike but for digits: the second has a key that no server takes."""
    texts = [b'{"step":1,"wall_time":"t","values":{"%b":5}}' % key for key in (b"1", b"")]
    found = [[wire.points(text, True) for text in order] for order in (texts, texts[::-1])]
    assert found[0] == found[1][::-1] == [(b'{"key":"1","step":1,"value":5,"wall_time":"t"}', 1), (b"", 0)]


def test_the_text_of_a_number_is_kept() -> None:
    body, _ = wire.points(b'{"step":1,"wall_time":"t","values":{"x":1e-05,"y":10000000000000000000001}}', False)
    assert b'"value":1e-05,' in body
    assert b'"value":10000000000000000000001,' in body


@given(st.one_of(st.binary(max_size=60), RECORDS.map(encoded)), st.booleans())
def test_what_is_no_metrics_record_raises_nothing_and_is_the_servers_to_refuse(data: bytes, nonfinite: bool) -> None:
    body, count = wire.points(data, nonfinite)
    assert isinstance(body, bytes)
    assert count >= 0


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"values":5}', b"{}", b"null", b'{"values":{"x":NaN}}', b'{"values":{"x":1e999}}']
)
def test_nonsense_goes_out_as_it_is(data: bytes) -> None:
    assert wire.points(data, True) in ((data, 1), (b'{"key":"x","step":null,"value":1e999,"wall_time":null}', 1))


def test_what_the_server_could_not_be_asked_about_waits() -> None:
    with_nan = encoded({"step": 1, "wall_time": "t", "values": {"x": TAGGED[0], "y": 1}})
    without = encoded({"step": 1, "wall_time": "t", "values": {"y": 1}})
    render = wire.renders(None)["metrics"]
    assert render(with_nan) is None
    assert render(without) == wire.points(without, False)


def batch(lane: str, *parts: bytes) -> Batch:
    return Batch(Bounds(lane, "e" * 16, 0, 0, 10, 4, 9), 2, list(parts), len(parts), 1, len(parts))


def test_a_batch_says_which_records_it_holds() -> None:
    request = wire.batch_request(batch("spans", b'{"id":"1"}', b'{"id":"2"}'), "t", uid="u", key="k")
    assert (request.path, request.range, request.attempt, request.key) == ("/v1/spans", f"u/{'e' * 16}:4-9", 2, "k")
    assert request.body == b'{"traces":[],"spans":[{"id":"1"},{"id":"2"}]}'


def test_records_without_points_leave_no_hole_in_the_body() -> None:
    request = wire.batch_request(batch("metrics", b"", b'{"key":"x"}', b""), "r/1", uid="u", key="k")
    assert request.body == b'{"points":[{"key":"x"}]}'
    assert request.path == "/v1/runs/r%2F1/metrics"


@given(
    st.dictionaries(st.text(max_size=4), st.one_of(st.integers(), st.text(max_size=4)), max_size=3), st.text(max_size=8)
)
def test_a_field_is_added_to_an_objects_text(fields: dict[str, Any], run_id: str) -> None:
    fields.pop("run_id", None)
    request = wire.create_request("trace", json.dumps(fields).encode(), run_id, "k")
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == {**fields, "run_id": run_id}


def test_an_empty_caption_and_a_missing_step_are_left_out() -> None:
    fields = {"key": "a b", "media_type": "image", "step": None, "caption": "", "mime": "image/png"}
    request = wire.batch_request(batch("media", json.dumps(fields).encode()), "r", uid="u", key="k")
    assert request.query == (("key", "a b"), ("media_type", "image"))
    zero = wire.batch_request(batch("media", json.dumps({**fields, "step": 0}).encode()), "r", uid="u", key="k")
    assert ("step", "0") in zero.query
