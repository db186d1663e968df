"""``cm.read``: what jobs recorded comes back, from spools that are damaged, copied, or still being written."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tracehouse as cm
from tests.support import lanes
from tests.support.waiting import wait_until
from tracehouse.spool import layout


def train(spool: Path, **more: object) -> cm.TrainingRun:
    options = {"project": "rl", "client_run_id": "train", "capture_env": False, "system_metrics": False, **more}
    return cm.TrainingRun(spool_dir=spool, **options)  # type: ignore[arg-type]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    with train(path, name="first", config={"lr": 1, "seed": 3}) as run:
        for step in range(3):
            run.log({"train/loss": 1 / (step + 1), "train/bad": float("nan"), "note": [float("inf"), "x"]})
        run.config["lr"] = 2
        run.log_image("sample", b"\x89PNG\r\n\x1a\n" + b"0" * 64, step=1, caption="a picture", format="png")
        run.add_artifact("facts", data={"a": 1})
        for sample in range(2):
            rollout = run.rollout(step=1, group="g", sample=sample)
            rollout.log_user("go")
            rollout.finish(outcome="good", metadata={"reward": sample})
    with cm.Run(project="bot", session_id="chat", spool_dir=path) as chat:
        chat.log_user("hello")
        chat.log_assistant("hi")
        chat.finish(outcome="good", metadata={"score": 1})
    return path


def test_the_sessions_of_a_spool_are_there_in_the_order_they_began(spool: Path) -> None:
    found = cm.read(spool)
    assert [(session.kind, session.id, session.project) for session in found] == [
        ("run", "train", "rl"), ("trace", "chat", "bot"),
    ]  # fmt: skip
    assert len(found) == 2
    assert found["tr"].id == found[0].id == "train"
    assert found["train"].manifest.machine_id
    assert [session.id for session in cm.read(found["chat"].path)] == ["chat"]
    with pytest.raises(KeyError):
        found["nothing"]


def test_metrics_are_rows_of_key_step_time_and_value(spool: Path) -> None:
    run = cm.read(spool)["train"]
    rows = run.metrics("train/loss")
    assert [(row["key"], row["step"], row["value"], row["attempt"]) for row in rows] == [
        ("train/loss", step, 1 / (step + 1), 1) for step in range(3)
    ]
    assert {row["key"] for row in run.metrics("train/*")} == {"train/loss", "train/bad"}
    assert all(math.isnan(row["value"]) for row in run.metrics("train/bad"))
    assert run.metrics("note")[0]["value"] == [math.inf, "x"]
    assert len(run.metrics()) == 9


def test_metrics_become_a_data_frame(spool: Path) -> None:
    lanes.needs_module("pandas")
    frame = cm.read(spool)["train"].metrics("train/loss").to_pandas()
    assert list(frame.columns) == ["key", "step", "wall_time", "value", "attempt"]
    assert frame["value"].sum() == pytest.approx(11 / 6)


def test_without_pandas_it_says_what_to_install(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        cm.read(spool)["train"].metrics().to_pandas()


def test_a_run_has_its_config_media_artifacts_and_rollouts(spool: Path) -> None:
    run = cm.read(spool)["train"]
    assert run.config == {"lr": 2, "seed": 3}
    [media] = run.media()
    assert (media["key"], media["step"], media["caption"]) == ("sample", 1, "a picture")
    assert Path(media["path"]).read_bytes().startswith(b"\x89PNG")
    assert [(one["name"], one["data"]) for one in run.artifacts()] == [("facts", {"a": 1})]
    assert [(one.id, one.step, one.outcome, one.metadata) for one in run.rollouts()] == [
        ("train-step1", 1, "good", {"group": "g", "sample": 0, "reward": 0}),
        ("train-step1.1", 1, "good", {"group": "g", "sample": 1, "reward": 1}),
    ]
    assert [span["attributes"]["text"] for span in run.rollouts()[1].spans] == ["go"]
    assert len(run.spans("train-step1")) == 1


def test_a_trace_has_its_spans_and_outcome(spool: Path) -> None:
    chat = cm.read(spool)["chat"]
    assert [span["attributes"]["text"] for span in chat.spans()] == ["hello", "hi"]
    [trace] = chat.traces()
    assert (trace.id, trace.outcome, trace.metadata) == ("chat", "good", {"score": 1})
    assert chat.rollouts() == []


def test_a_span_recorded_again_is_there_once_in_its_last_form(tmp_path: Path) -> None:
    at = "2026-01-01T00:00:00Z"
    with cm.Run(session_id="s", spool_dir=tmp_path) as run:
        for text in ("draft", "final"):
            run.push_spans([cm.Span("x", "s", "assistant_msg", "said", at, at, None, {"text": text})])
    assert [span["attributes"]["text"] for span in cm.read(tmp_path)["s"].spans()] == ["final"]


def test_s3_damage_costs_only_what_it_hits_and_is_counted(spool: Path) -> None:
    run = cm.read(spool)["train"]
    assert run.damage == (0, 0)
    [segment] = Path(run.path).glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b"train/loss" in line)
    lines[at] = lines[at].replace(b"loss", b"lost")
    segment.write_bytes(b"".join(lines) + b"\0" * 100)
    assert len(run.metrics("train/loss")) == 2
    assert run.damage == (2, 1)


def test_a_session_without_its_manifest_is_read_by_its_segments_header(spool: Path) -> None:
    path = Path(cm.read(spool)["train"].path)
    (path / layout.MANIFEST).write_bytes(b"")
    assert cm.read(path)[0].id == "train"
    (path / layout.MANIFEST).write_text('{"format": 99}')
    spoiled = cm.read(spool)
    assert [session.id for session in spoiled] == ["chat"]
    assert "newer" in spoiled.unreadable[str(path)]


def test_a_spool_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(cm.SpoolError, match="cannot read the spool"):
        cm.read(tmp_path / "none")


def test_the_default_is_the_spool_that_jobs_here_write_to(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEHOUSE_SPOOL_DIR", str(spool))
    assert len(cm.read()) == 2


def run_job(spool: Path, body: str) -> subprocess.Popen[bytes]:
    script = (
        "import os, sys, signal, tracehouse as cm\n"
        f"run = cm.TrainingRun(client_run_id='job', spool_dir={str(spool)!r}, capture_env=False, system_metrics=False)\n"
        "run.log({'loss': 1.0})\nprint('logged', flush=True)\n" + body
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", script], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    "body, status",
    [
        ("run.finish()", "finished"),
        ("run.finish(status='killed')", "killed"),
        ("", "finished"),
        ("sys.exit(3)", "failed"),
        ("1/0", "crashed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "crashed"),
    ],
)
def test_status_tells_how_the_job_ended(tmp_path: Path, body: str, status: str) -> None:
    job = run_job(tmp_path, body)
    job.communicate(timeout=60)
    assert cm.read(tmp_path)["job"].status == status


def test_a_living_job_is_running_and_its_later_records_are_seen(tmp_path: Path) -> None:
    job = run_job(tmp_path, "sys.stdin.read()\nrun.log({'loss': 2.0})\nos.kill(os.getpid(), signal.SIGKILL)")
    assert job.stdout is not None
    assert job.stdout.readline() == b"logged\n"
    session = cm.read(tmp_path)["job"]
    assert session.status == "running"
    assert [row["value"] for row in session.metrics("loss")] == [1.0]
    shutil.copytree(tmp_path, tmp_path / "copied", ignore=shutil.ignore_patterns("copied"))
    assert cm.read(tmp_path / "copied")["job"].status == "unknown"
    job.communicate(timeout=60)
    assert job.returncode == -signal.SIGKILL
    wait_until(lambda: session.status == "crashed")
    assert [row["value"] for row in session.metrics("loss")] == [1.0, 2.0]


def test_a13_attempts_come_in_their_order(tmp_path: Path) -> None:
    for value in range(4):
        script = (
            "import sys, tracehouse as cm\n"
            f"with cm.TrainingRun(client_run_id='r', spool_dir={str(tmp_path)!r}, capture_env=False,"
            f" system_metrics=False) as run: run.log({{'x': {value}}})\n"
        )
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", script], env=environ, check=True, timeout=60)
    rows = cm.read(tmp_path)["r"].metrics("x")
    assert [(row["attempt"], row["step"], row["value"]) for row in rows] == [(n + 1, n, n) for n in range(4)]


def test_e1_reading_imports_nothing_outside_the_standard_library(spool: Path) -> None:
    script = (
        "import sys, tracehouse as cm\n"
        f"spool = cm.read({str(spool)!r})\n"
        "assert [s.status for s in spool], [s.metrics() for s in spool]\n"
        "outside = {m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names - {'tracehouse', '__main__'}\n"
        "print(sorted(name for name in outside if not name.startswith('_')))"
    )
    if sys.version_info < (3, 10):
        pytest.skip("stdlib_module_names came with 3.10")
    environ = {**os.environ, "PYTHONPATH": str(Path(cm.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {environ['PYTHONPATH']!r})\n{script}"],
                          capture_output=True, text=True, timeout=60, env=environ, check=True)  # fmt: skip
    assert done.stdout.strip() in ("[]", "['sitecustomize']")
