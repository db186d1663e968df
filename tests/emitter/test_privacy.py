"""redact=: nothing reaches the spool before it was looked at, and what cannot be looked at does not reach it at all."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs
from tracehouse.redact import Redactor


def _everything(spool: Path) -> str:
    return "".join(path.read_text() for path in spool.rglob("*") if path.is_file() and path.suffix != ".gif")


@pytest.mark.parametrize(
    "text",
    [
        "ba_0123456789abcdef",
        "sk-ant-" + "a1" * 12,
        "sk-proj-abcdefghijklmnopqrstuvwxyz",
        "hf_abcdefghijklmnopqrstuvwxyz",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_abcdefghijklmnopqrstuvwxyz",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-1234567890-abcdefg",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghij",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIE",
    ],
)
def test_keys_are_known(text: str) -> None:
    assert Redactor("keys").text(f"before {text} after") in ("before [redacted] after", "before [redacted]")


def test_ready_made_patterns_leave_the_rest_alone() -> None:
    redactor = Redactor(["keys", "emails", re.compile(r"\d{3}-\d{4}"), "secret"])
    assert redactor.text("ask a.b+c@mail.example.org or 555-1234") == "ask [redacted] or [redacted]"
    assert redactor.text("https://user:pw@host/x secret") == "https://[redacted]@host/x [redacted]"
    plain = "loss=0.5 at task-name sk-learn, see me@home and skip-this-one"
    assert redactor.text(plain) == plain


def _use_all(spool: Path, redact: Any) -> None:
    @dataclasses.dataclass
    class Own:
        field: str = "SECRET"

    run = cm.Run(session_id="s", spool_dir=spool, project="SECRET", task_name="SECRET", redact=redact)
    run.log_user("SECRET", attributes={"SECRET": ["SECRET", {"x": Own()}]})
    run.log(kind="thinking", name="SECRET")
    with run.span("tool_use", "SECRET", input={"a": "SECRET"}):
        pass
    run.push_spans([cm.Span("i", "s", "user_msg", "SECRET", "t", attributes={"a": "SECRET"})])
    run.log_messages([{"role": "user", "content": "SECRET"}])
    run.finish(outcome="good", metadata={"a": "SECRET"}, task_name="SECRET")
    training = cm.TrainingRun(
        client_run_id="r",
        name="SECRET",
        project="SECRET",
        config={"a": "SECRET"},
        hf_model="SECRET",
        spool_dir=spool,
        redact=redact,
        capture_env=False,
        system_metrics=False,
    )
    training.log({"SECRET": "SECRET", "i": cm.Image(b"GIF89a", caption="SECRET")})
    training.log_image("SECRET", b"GIF89a")
    training.config["SECRET"] = "SECRET"
    training.summary["a"] = "SECRET"
    training.link_dataset("SECRET")
    training.add_artifact("SECRET", data={"a": "SECRET"})
    training.push_model_card(commit_message="SECRET")
    with training.rollout(name="SECRET", group="SECRET") as rollout:
        rollout.log_user("SECRET")
        rollout.finish(metadata={"a": "SECRET"})
    training.finish()


def test_every_text_passes_by_it(tmp_path: Path) -> None:
    _use_all(tmp_path, "SECRET")
    assert "SECRET" not in _everything(tmp_path)
    assert _everything(tmp_path).count("[redacted]") > 25


def test_an_error_in_it_costs_the_text_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(text: str) -> str:
        raise KeyError(text)

    with caplog.at_level(logging.WARNING, logger="tracehouse"):
        _use_all(tmp_path, fails)
    assert "SECRET" not in _everything(tmp_path)
    assert "redact= failed" in caplog.text
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("given", [None, b"SECRET", 5])
def test_what_is_no_text_is_not_let_through(given: Any) -> None:
    assert Redactor(lambda _: given).text("SECRET").startswith("[dropped: redact failed")


def test_a_function_that_changes_everything_leaves_the_records_whole(tmp_path: Path) -> None:
    _use_all(tmp_path, lambda _: "x")
    trace, training = jobs.sessions(tmp_path)[1], jobs.sessions(tmp_path)[0]
    assert jobs.of_type(trace, "trace_patch")[0]["outcome"] == "good"
    assert [span["session_id"] for span in jobs.of_type(trace, "span")] == ["s"] * 5
    assert jobs.of_type(training, "artifact") == [{"name": "x", "kind": "json", "data": {"x": "x"}}]
    assert jobs.of_type(training, "run")[0]["client_run_id"] == "r"


def test_what_is_gathered_of_the_machine_keeps_its_names(tmp_path: Path) -> None:
    run = cm.TrainingRun(spool_dir=tmp_path, redact=lambda _: "x", system_metrics=False)
    run.finish()
    [found] = jobs.of_type(jobs.only_session(tmp_path), "artifact")
    assert found["name"] == "environment"
    assert (found["data"]["hostname"], found["data"]["os"]["system"], set(found["data"]["argv"])) == ("x", "x", {"x"})


def test_names_of_a_spans_own_parts_are_kept_for_pages_to_know(tmp_path: Path) -> None:
    run = cm.Run(session_id="s", spool_dir=tmp_path, redact=lambda _: "x")
    run.log_user("SECRET")
    run.log_tool_use("SECRET", {"SECRET": 1})
    [said, call] = [span["attributes"] for span in jobs.of_type(jobs.only_session(tmp_path), "span")]
    assert (said, call) == ({"text": "x"}, {"tool_input": {"x": 1}})


def test_keys_that_become_equal_cost_no_value(tmp_path: Path) -> None:
    run = cm.TrainingRun(spool_dir=tmp_path, redact="emails", capture_env=False, system_metrics=False)
    run.log({"ada@x.org": 1, "bob@x.org": 2})
    [logged] = jobs.of_type(jobs.only_session(tmp_path), "metrics")
    assert logged["values"] == {"[redacted]": 1, "[redacted]#2": 2}


@pytest.mark.parametrize(
    "value,kept",
    [
        (float("nan"), {"_type": "number", "value": "NaN"}),
        (Decimal("0.10000000000000000000001"), {"_type": "number", "value": "0.10000000000000000000001"}),
        (1j, {"_type": "complex", "real": 0.0, "imag": 1.0}),
        (object, {"_type": "repr", "value": "x"}),
        (ValueError("SECRET"), {"_type": "exception", "type": "x", "message": "x"}),
        (b"SECRET", {"_type": "bytes", "base64": "eA=="}),
        ({"_type": "number", "value": "SECRET"}, {"_type": "number", "value": "x"}),
        ({"_type": "SECRET"}, {"_type": "x"}),
        ({"_type": ["SECRET"]}, {"_type": ["x"]}),
        (
            {"_type": "table", "fields": {"x": "SECRET", "SECRET": 1}},
            {"_type": "table", "fields": {"x": "x", "x#2": 1}},
        ),
    ],
)
def test_a_function_that_changes_everything_leaves_values_what_they_are(value: Any, kept: Any) -> None:
    assert Redactor(lambda _: "x").clean([value]) == [kept]


def test_names_stay_apart_and_the_same_from_record_to_record(tmp_path: Path) -> None:
    run = cm.TrainingRun(spool_dir=tmp_path, redact=lambda _: "x", capture_env=False, system_metrics=False)
    for _ in range(2):
        run.log({"loss": 1, "reward": 2})
        run.log({"reward": 3, "picture": cm.Image(b"GIF89a")})
    session = jobs.only_session(tmp_path)
    assert [one["values"] for one in jobs.of_type(session, "metrics")] == [{"x": 1, "x#2": 2}, {"x#2": 3}] * 2
    assert [one["key"] for one in jobs.of_type(session, "media")] == ["x#3", "x#3"]


def test_names_without_end_cost_no_memory_without_end() -> None:
    redactor = Redactor(lambda text: text.upper())
    for n in range(30_000):
        redactor.key(f"a{n}")
    same = Redactor(lambda _: "x")
    found = [same.key(str(n)) for n in range(30_000)]
    assert found[:2] == ["x", "x#2"]
    assert len(set(found)) <= 10_001
    assert redactor.key("b") == "B"


def test_a_table_s_text_passes_by_it_and_its_media_are_found_again(tmp_path: Path) -> None:
    import tracehouse.wandb as wandb

    run = wandb.init(spool_dir=tmp_path, redact=lambda _: "x", capture_env=False, system_metrics=False)
    run.log({"h": wandb.Histogram([1, 2]), "t": wandb.Table(["a", "b"], [["SECRET", wandb.Image(b"GIF89a")]])})
    table = wandb.Table(["a", "b"], [["SECRET" * 1_000_000, 1]])
    run.log({"long": wandb.plot.scatter(table, "a", "b")})
    run.finish()
    assert "SECRET" not in _everything(tmp_path)
    session = jobs.only_session(tmp_path)
    [first, second] = [list(one["values"].values()) for one in jobs.of_type(session, "metrics")]
    media = {one["key"]: one["file"] for one in jobs.of_type(session, "media")}
    assert (first[0]["_type"], sum(first[0]["counts"]), len(first[0]["bins"])) == ("histogram", 2, 65)
    [[said, picture]] = first[1]["data"]
    assert (said, picture["_type"], picture["media"] in media) == ("x", "image", True)
    assert second[0]["fields"] == {"x": second[0]["columns"][0], "y": second[0]["columns"][1]}
    [name] = second[0]["media"]
    assert json.loads((session / "media" / media[name]).read_text()) == [["x", 1]]


def test_the_text_of_a_page_passes_by_it_also_from_a_file(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>SECRET</p>")
    run = cm.TrainingRun(spool_dir=tmp_path / "spool", redact="SECRET", capture_env=False, system_metrics=False)
    run.log({"a": cm.Html("<b>SECRET</b>", caption="c"), "b": cm.Html(str(page))})
    assert "SECRET" not in _everything(tmp_path / "spool")
    media = jobs.of_type(jobs.only_session(tmp_path / "spool"), "media")
    assert [(one["key"], one["mime"], one.get("caption")) for one in media] == [
        ("a", "text/html", "c"),
        ("b", "text/html", None),
    ]


def test_the_exception_at_the_end_passes_by_it_too(tmp_path: Path) -> None:
    jobs.run("cm.init(session_id='s', redact='emails')\nraise ValueError('a@b.org')", tmp_path)
    [ended] = jobs.of_type(jobs.only_session(tmp_path), "exit")
    assert ended["exception"] == "ValueError: [redacted]"
