"""Exports of real spools: every record once and in order, whatever happened to the segments."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import lanes
from tracehouse.spool import layout, record
from tracehouse.spool.manifest import read
from tracehoused.export import parquet
from tracehoused.export.records import open_source
from tracehoused.export.tables import rows
from tracehoused.export.times import nanoseconds


def export(*words: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[bytes]:
    script = "import sys; from tracehoused.cli.main import tracehouse; sys.argv[0] = 'tracehouse'; tracehouse()"
    done = subprocess.run(
        [sys.executable, "-c", script, "export", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr.decode()
    return done


def exported(*words: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export(*words, "--format", "jsonl", code=code).stdout.splitlines()]


def table(*words: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(*words, "--format", "csv").stdout.decode(), newline="")))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    with cm.Run(project="bot", session_id="chat", spool_dir=path) as run:
        asked = run.log_user('a "quoted", line\nand another')
        run.log_assistant("said", parent_span_id=asked.id, attributes={"tokens": 3})
    with cm.TrainingRun(
        project="rl", client_run_id="train", spool_dir=path, capture_env=False, system_metrics=False
    ) as training:
        for step in range(3):
            training.log({"loss": 1 / (step + 1), "grad": float("nan"), "note": "é, ü", "vector": [1, 2]})
        rollout = training.rollout(step=2)
        rollout.log_user("roll out")
        rollout.finish(outcome="good")
    return path


def session(spool: Path, kind: str) -> Path:
    [found] = spool.glob(f"{kind}-*")
    return found


def segment(spool: Path, kind: str) -> Path:
    return sorted(session(spool, kind).glob("*.jsonl"))[0]


def test_jsonl_has_every_record_once_in_the_order_of_their_seqs(spool: Path) -> None:
    found = exported(str(spool))
    assert {(one["session"], one["kind"]) for one in found} == {("chat", "trace"), ("train", "run")}
    for name in ("chat", "train"):
        seqs = [one["seq"] for one in found if one["session"] == name]
        assert seqs == list(range(1, len(seqs) + 1))
    assert [one["data"]["attributes"]["text"] for one in found if one["type"] == "span"] == [
        "roll out", 'a "quoted", line\nand another', "said",
    ]  # fmt: skip


def test_jsonl_data_is_byte_for_byte_what_was_recorded(spool: Path) -> None:
    lines = export(str(session(spool, "trace")), "--format", "jsonl").stdout.splitlines()
    recorded = segment(spool, "trace").read_bytes().splitlines()
    assert sorted(line.split(b',"data":', 1)[1] for line in lines) == sorted(
        line.split(b',"data":', 1)[1] for line in recorded
    )


def test_a13_attempts_follow_one_another_whatever_their_epochs_names(tmp_path: Path) -> None:
    script = (
        "import sys, tracehouse as cm\n"
        "with cm.Run(session_id='s', spool_dir=sys.argv[1]) as run: run.log_user(sys.argv[2])\n"
    )
    for attempt in range(1, 5):
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", script, str(tmp_path), str(attempt)], env=environ, check=True, timeout=60)
    spans = [one for one in exported("s", "--spool", str(tmp_path)) if one["type"] == "span"]
    assert [(one["attempt"], one["data"]["attributes"]["text"]) for one in spans] == [
        (1, "1"), (2, "2"), (3, "3"), (4, "4"),
    ]  # fmt: skip


def test_s2_of_a_record_written_twice_the_first_valid_line_counts_and_keeps_its_place(spool: Path) -> None:
    path = segment(spool, "trace")
    uid, name = read(str(path.parent)).uid, layout.parse_segment_name(path.name)
    assert name is not None
    seed = record.checksum_seed(uid, name.epoch)
    lines = path.read_bytes().splitlines(keepends=True)
    torn, seq = lines[2], 3
    again = record.frame(seed, seq, "span", '{"id":"rewritten"}')
    other = record.frame(seed, seq + 1, "span", '{"id":"a second version of what is there"}')
    path.write_bytes(b"".join([*lines[:2], torn[: len(torn) // 2], b"\n", *lines[3:]]))
    (path.parent / layout.segment_name(name.epoch, 1)).write_bytes(again + other)
    found = exported(str(path.parent), code=1)
    assert [one["seq"] for one in found] == list(range(1, len(lines) + 1))
    assert found[2]["data"] == {"id": "rewritten"}
    assert "second version" not in json.dumps(found)


def test_s3_damage_costs_only_what_it_hits_and_is_told(spool: Path) -> None:
    path = segment(spool, "run")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"loss", b"lost")
    path.write_bytes(b"".join(lines) + b'{"crc":"00')
    done = export(str(spool), "--format", "jsonl", code=1)
    assert (
        len(done.stdout.splitlines()) == sum(len(one.read_bytes().splitlines()) for one in spool.rglob("*.jsonl")) - 2
    )
    assert b"1 damaged lines left out, 1 records missing" in done.stderr


def test_an_unreadable_session_does_not_keep_the_others_in(spool: Path) -> None:
    (session(spool, "run") / layout.MANIFEST).write_text('{"format": 7}')
    done = export(str(spool), "--format", "jsonl", code=1)
    assert {json.loads(line)["session"] for line in done.stdout.splitlines()} == {"chat"}
    assert b"newer" in done.stderr


def test_csv_holds_metrics_in_long_form(spool: Path) -> None:
    found = table(str(spool), "--what", "metrics")
    assert [(row["key"], row["step"], row["value"]) for row in found[:4]] == [
        ("loss", "0", "1.0"), ("grad", "0", "NaN"), ("note", "0", "é, ü"), ("vector", "0", "[1, 2]"),
    ]  # fmt: skip
    assert {(row["session"], row["attempt"]) for row in found} == {("train", "1")}
    assert all(nanoseconds(row["wall_time"]) for row in found)


def test_csv_holds_spans_with_their_trace_and_run(spool: Path) -> None:
    found = table(str(spool), "--what", "spans")
    assert [(row["session"], row["run"], row["kind"], row["text"]) for row in found] == [
        ("train-step2", "train", "user_msg", "roll out"),
        ("chat", "", "user_msg", 'a "quoted", line\nand another'),
        ("chat", "", "assistant_msg", "said"),
    ]
    assert found[2]["parent_id"] == found[1]["id"]
    assert json.loads(found[2]["attributes"]) == {"tokens": 3, "text": "said"}


@pytest.mark.parametrize("text", ["=1+2", "+1", "-x", "@SUM(A1)", "\t=1", "＝1+2"])
def test_no_spreadsheet_computes_what_was_logged(tmp_path: Path, text: str) -> None:
    # a name of its own: a directory may be the one that a test before had, and removed
    name = text.encode().hex()
    with cm.TrainingRun(client_run_id=name, spool_dir=tmp_path, capture_env=False, system_metrics=False) as run:
        run.log({f"{text}key": text, "loss": -1.5}, step=0)
    said, loss = table(str(tmp_path), "--what", "metrics")
    assert (said["key"], said["value"], loss["value"]) == (f"'{text}key", f"'{text}", "-1.5")


def test_all_tables_go_to_a_directory(spool: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(str(spool), "--format", "csv", "--output", str(out))
    assert sorted(path.name for path in out.iterdir()) == ["metrics.csv", "runs.csv", "spans.csv", "traces.csv"]
    assert (out / "metrics.csv").read_bytes() == export(str(spool), "--format", "csv", "--what", "metrics").stdout


def test_an_output_file_appears_whole_or_not_at_all(spool: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("what was there")
    export("no-such-session", "--format", "jsonl", "--output", str(target), code=2)
    assert target.read_text() == "what was there"
    export(str(spool), "--format", "jsonl", "--output", str(target))
    assert target.read_bytes() == export(str(spool), "--format", "jsonl").stdout
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == ["out.jsonl"]


def test_a_session_is_found_by_the_beginning_of_its_id_if_there_is_one_only(spool: Path) -> None:
    assert {one["session"] for one in exported("tr", "--spool", str(spool))} == {"train"}
    with cm.Run(session_id="training-notes", spool_dir=spool) as run:
        run.log_user("x")
    done = export("trai", "--spool", str(spool), "--format", "jsonl", code=2)
    assert b"train, training-notes" in done.stderr or b"training-notes, train" in done.stderr


def test_parquet_is_written_by_row_groups_with_types(spool: Path, tmp_path: Path) -> None:
    lanes.needs_module("pyarrow", "parquet")
    import pyarrow.parquet as pq

    export(str(spool), "--format", "parquet", "--output", str(tmp_path / "out"))
    metrics = pq.read_table(tmp_path / "out" / "metrics.parquet")
    assert {name: str(metrics.schema.field(name).type) for name in ("step", "wall_time", "value", "value_text")} == {
        "step": "int64", "wall_time": "timestamp[us, tz=UTC]", "value": "double", "value_text": "string",
    }  # fmt: skip
    found = metrics.to_pylist()
    assert [row["value"] for row in found if row["key"] == "loss"] == [1.0, 0.5, 1 / 3]
    assert [row["value_text"] for row in found if row["key"] == "vector"] == ["[1, 2]"] * 3
    spans = pq.read_table(tmp_path / "out" / "spans.parquet").to_pylist()
    traces = pq.read_table(tmp_path / "out" / "traces.parquet")
    assert [str(traces.schema.field(name).type) for name in ("step", "reward", "started_at")] == [
        "int64", "double", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    assert [(row["run"], row["step"], row["outcome"]) for row in traces.to_pylist()] == [
        ("train", 2, "good"), (None, None, None),
    ]  # fmt: skip
    assert [row["text"] for row in spans] == ["roll out", 'a "quoted", line\nand another', "said"]

    source = open_source(str(session(spool, "run")))
    path = str(tmp_path / "grouped.parquet")
    assert parquet.write(path, "metrics", rows("metrics", source), group_rows=5) == 12
    assert pq.ParquetFile(path).metadata.num_row_groups == 3


def test_of_each_trace_and_rollout_there_is_a_row_with_its_outcome_and_reward(tmp_path: Path) -> None:
    where = tmp_path / "spool"
    with cm.TrainingRun(
        project="rl", client_run_id="ppo", name="PPO", spool_dir=where, capture_env=False, system_metrics=False
    ) as training:
        held = [training.rollout(step=step, name="maths", group="g", model="m") for step in (0, 0, 1)]
        for at, rollout in enumerate(held):
            rollout.log_user("2 + 2?")
            rollout.finish(outcome=("good", "bad", None)[at], metadata={"reward": at / 2} if at else None)
    with cm.Run(project="bot", session_id="chat", spool_dir=where) as run:
        run.finish(metadata={"reward": "high"})
    found = table(str(where), "--what", "traces")
    assert [(one["run"], one["step"], one["outcome"], one["reward"], one["spans"]) for one in found] == [
        ("ppo", "0", "good", "", "1"), ("ppo", "0", "bad", "0.5", "1"), ("ppo", "1", "", "1.0", "1"), ("", "", "", "", "0"),
    ]  # fmt: skip
    assert [one["session"] for one in found][:3] == [rollout.session_id for rollout in held]
    assert (found[0]["project"], found[0]["task_name"], found[0]["model"]) == ("rl", "maths", "m")
    assert [json.loads(one["metadata"]) for one in found] == [
        {"group": "g"}, {"group": "g", "reward": 0.5}, {"group": "g", "reward": 1.0}, {"reward": "high"},
    ]  # fmt: skip
    [one] = table("PPO", "--spool", str(where), "--what", "runs")
    assert (one["session"], one["attempt"], one["name"], one["status"]) == ("ppo", "1", "PPO", "finished")


def test_a13_a_run_is_a_row_with_its_first_beginning_its_last_end_and_all_of_its_config(tmp_path: Path) -> None:
    def attempt(status: str | None, **config: object) -> None:
        run = cm.TrainingRun(
            client_run_id="r", name="n", config=config, spool_dir=tmp_path, capture_env=False, system_metrics=False
        )
        run.log({"x": 1})
        if status:
            run.finish(status=status)

    attempt("failed", lr=1, seed=7)
    [first] = table("r", "--spool", str(tmp_path), "--what", "runs")
    attempt("finished", lr=2)
    [both] = table("r", "--spool", str(tmp_path), "--what", "runs")
    assert (first["status"], both["status"]) == ("failed", "finished")
    assert both["started_at"] == first["started_at"]
    assert both["ended_at"] > first["ended_at"]
    assert json.loads(both["config"]) == {"lr": 2, "seed": 7}
    attempt(None)
    [running] = table("r", "--spool", str(tmp_path), "--what", "runs")
    assert (running["started_at"], running["status"], running["ended_at"]) == (first["started_at"], "", "")


def test_two_sessions_of_one_id_are_told_apart_by_their_directories(tmp_path: Path) -> None:
    for server in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        cm.Run(session_id="same", api_base=server, spool_dir=tmp_path).finish()
    told = export("same", "--format", "jsonl", "--spool", str(tmp_path), code=2).stderr.decode()
    for path in tmp_path.glob("trace-*"):
        assert str(path) in told
        assert exported(str(path)) == exported(path.name, "--spool", str(tmp_path)) != []


def test_parquet_without_pyarrow_says_what_to_install(spool: Path, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\nu.find_spec = lambda n, *a: None if n == 'pyarrow' else find(n, *a)\n"
    )
    places = os.pathsep.join([str(tmp_path / "without"), *sys.path])
    script = "from tracehoused.cli.main import tracehouse; tracehouse()"
    done = subprocess.run(
        [sys.executable, "-c", script, "export", str(spool), "--format", "parquet", "--output", str(tmp_path / "o")],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "pip install 'tracehouse-sdk[parquet]'" in done.stderr


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("1970-01-01 00:00", 0),
        ("not a time", None),
        ("1970-13-01T00:00:00Z", None),
        (None, None),
        (17, None),
    ],
)
def test_times_are_nanoseconds_since_1970(text: object, expected: int | None) -> None:
    assert nanoseconds(text) == expected
