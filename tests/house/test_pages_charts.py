"""Charts' groups and lines, their data, live news and downloads."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.house import House, new_run, point, post
from tests.support.lanes import needs_module
from tracehoused.house.pages.charts import grouped, lines_of

DATABASES = ("sqlite", "postgres")
NAN = {"_type": "number", "value": "NaN"}


def series(key: str = "loss", attempt: int = 0, writer: str = "a", number: int = 1) -> dict[str, Any]:
    return {"id": number, "key": key, "attempt": attempt, "writer": writer, "count": 1, "last_step": 0, "last_value": 0}


def points(client: httpx.Client, run: str, *given: dict[str, Any], attempt: int = 0) -> None:
    answer = post(client, f"/v1/runs/{run}/metrics", {"points": list(given)}, X_Tracehouse_Attempt=str(attempt))
    assert answer.is_success, answer.text


def numbers(client: httpx.Client, run: str) -> list[int]:
    return [one["id"] for one in client.get(f"/v1/runs/{run}").json()["metrics"]]


def test_groups_go_by_prefix_in_the_order_of_numbers_and_the_machine_is_last() -> None:
    keys = ("zeta/x", "system/cpu", "layer/10", "layer/2", "loss", "layer/2b")
    lines = lines_of({"id": "r", "name": "run"}, 0, 1, [series(key) for key in keys])
    found = [(group["name"], [one["key"] for one in group["charts"]]) for group in grouped(lines)]
    assert found == [
        ("", ["loss"]),
        ("layer", ["layer/2", "layer/2b", "layer/10"]),
        ("zeta", ["zeta/x"]),
        ("system", ["system/cpu"]),
    ]


def test_attempts_and_writers_of_one_run_have_colours_of_their_own() -> None:
    summary = [series(attempt=1, writer="a"), series(attempt=1, writer="b"), series(attempt=2, writer="c")]
    lines = lines_of({"id": "r", "name": "run"}, 0, 1, summary)
    assert [line["label"] for line in lines] == ["attempt 1, writer 1", "attempt 1, writer 2", "attempt 2"]
    assert [(line["colour"], line["dash"]) for line in lines] == [(0, 0), (1, 0), (2, 0)]


def test_runs_among_others_have_one_colour_each_and_differ_within_by_dashes() -> None:
    lines = lines_of({"id": "r", "name": "run"}, 3, 4, [series(attempt=1), series(attempt=2, writer="b")])
    assert [(line["colour"], line["dash"], line["label"]) for line in lines] == [
        (3, 0, "run, attempt 1"),
        (3, 1, "run, attempt 2"),
    ]


def test_data_come_by_number_and_only_of_the_runs_named(client: httpx.Client) -> None:
    run, other = new_run(client, "one"), new_run(client, "other")
    points(client, run, *(point(step, float(step)) for step in range(100)), point(7, NAN))
    points(client, other, point(0, 1.0))
    [number], [foreign] = numbers(client, run), numbers(client, other)
    answer = client.get("/data/series", params={"run": run, "series": [number, foreign], "buckets": 10}).json()
    [found] = answer["series"]
    assert found["id"] == number
    assert sum(bucket[5] for bucket in found["buckets"]) == 100
    assert (found["buckets"][0][2], found["buckets"][-1][3]) == (0.0, 99.0)
    assert found["nonfinite"] == [[7, "NaN"]]
    cut = client.get("/data/series", params={"run": run, "series": number, "first": 10, "last": 19}).json()
    assert [bucket[0] for bucket in cut["series"][0]["buckets"]] == list(range(10, 20))


@pytest.mark.parametrize(
    "query", ["", "run=", "run=nope", "run={run}&series=x", "run={run}&series=-1", "run={run}&buckets=0"]
)
def test_bad_questions_are_refused(client: httpx.Client, query: str) -> None:
    run = new_run(client)
    assert client.get(f"/data/series?{query.format(run=run)}").status_code in (404, 422)
    many = "&".join(f"run={at}" for at in range(11))
    assert client.get(f"/compare?{many}").status_code == 422


def test_downloads_hold_every_point_as_it_was_sent(client: httpx.Client) -> None:
    run = new_run(client, 'exact, "quoted"')
    values: list[Any] = [0.1, 1e-300, 3, NAN, {"_type": "number", "value": "-Infinity"}, 2**60 + 1]
    points(client, run, *(point(step, value, "=key,") for step, value in enumerate(values)))
    points(client, run, point(2, 9.5, "other"), attempt=1)
    rows = list(csv.reader(io.StringIO(client.get(f"/download.csv?run={run}").text)))
    assert rows[0] == ["run", "run_id", "key", "attempt", "writer", "step", "value", "time"]
    assert [row[6] for row in rows[1:7]] == ["0.1", "1e-300", "3", "nan", "-inf", str(2**60 + 1)]
    assert rows[1][:4] == ['exact, "quoted"', run, "'=key,", "0"]
    assert rows[7][2:4] + rows[7][5:7] == ["other", "1", "2", "9.5"]
    told = json.loads(client.get(f"/download.json?run={run}").text)["series"]
    assert [value for _, value, _ in told[0]["points"]] == [0.1, 1e-300, 3, "NaN", "-Infinity", 2**60 + 1]
    assert client.get(f"/download.json?run={run}").headers["content-disposition"].startswith("attachment")


def test_downloads_are_cut_to_what_is_seen(client: httpx.Client) -> None:
    run = new_run(client)
    points(client, run, *(point(step, 1.0, key) for key in ("a", "b") for step in range(20)))
    first, second = numbers(client, run)
    asked = {"run": run, "series": second, "first": 5, "last": 7}
    rows = list(csv.reader(io.StringIO(client.get("/download.csv", params=asked).text)))[1:]
    assert [(row[2], row[5]) for row in rows] == [("b", "5"), ("b", "6"), ("b", "7")]
    late = {"run": run, "series": first, "since": 4_000_000_000_000_000}
    assert len(client.get("/download.csv", params=late).text.splitlines()) == 1
    assert client.get(f"/download.exe?run={run}").status_code == 404


def test_long_series_come_whole(client: httpx.Client) -> None:
    run = new_run(client)
    for begin in range(0, 25_000, 5000):
        points(client, run, *(point(step, 0.5) for step in range(begin, begin + 5000)))
    rows = list(csv.reader(io.StringIO(client.get(f"/download.csv?run={run}").text)))[1:]
    assert [int(row[5]) for row in rows] == list(range(25_000))


def test_parquet_has_types(client: httpx.Client) -> None:
    needs_module("pyarrow")
    from pyarrow import parquet

    run = new_run(client, "table")
    points(client, run, point(1, 0.5), point(2, NAN), point(3, 2**60 + 1))
    table = parquet.read_table(io.BytesIO(client.get(f"/download.parquet?run={run}").content))
    assert table.column("step").to_pylist() == [1, 2, 3]
    values = table.column("value").to_pylist()
    assert values[0] == 0.5
    assert math.isnan(values[1])
    assert values[2] == float(2**60 + 1)
    assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def test_news_tell_what_grew_and_end_with_the_run(client: httpx.Client) -> None:
    run = new_run(client)
    points(client, run, point(0, 1.0))
    with client.stream("GET", f"/live?run={run}") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = events(stream.iter_lines())
        name, first = next(told)
        assert (name, first["points"], first["state"]) == ("news", 1, "running")
        assert [(one["count"], one["last_value"]) for one in first["keys"]["loss"]] == [(1, 1.0)]
        points(client, run, point(1, 2.0), point(0, 1.0, "lr"))
        _, grown = next(told)
        assert grown["points"] == 3
        assert {key: [one["last_value"] for one in found] for key, found in grown["keys"].items()} == {
            "loss": [2.0],
            "lr": [1.0],
        }
        client.patch(f"/v1/runs/{run}", json={"status": "finished"})
        name, ended = next(told)
        assert (ended["state"], ended["keys"]) == ("finished", {})
        assert next(told) == ("over", {})
        assert list(told) == []


def test_news_of_a_finished_run_end_by_themselves(client: httpx.Client) -> None:
    run = new_run(client)
    client.patch(f"/v1/runs/{run}", json={"status": "failed"})
    with client.stream("GET", f"/live?run={run}") as stream:
        assert [name for name, _ in events(stream.iter_lines())] == ["news", "over"]


def test_news_of_what_is_not_there_are_refused(client: httpx.Client) -> None:
    assert client.get("/live?run=nope").status_code == 404


def test_a_house_ends_at_once_although_somebody_looks(tmp_path_factory: pytest.TempPathFactory) -> None:
    house = House(tmp_path_factory.mktemp("ending") / "data").start()
    with house.client() as client:
        run = new_run(client)
        with client.stream("GET", f"/live?run={run}") as stream:
            told = events(stream.iter_lines())
            assert next(told)[0] == "news"
            assert house.stop() == 0
            assert list(told) == []
    assert "Traceback" not in house.output()
