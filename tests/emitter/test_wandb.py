"""The wandb-shaped door: beginning and ending runs, steps, config and summary."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse
import tracehouse.wandb as wandb
from tests.support import jobs
from tests.support.wandb import Place, place
from tracehouse.exceptions import ArgumentError, NotActiveError


@pytest.fixture(name="here")
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    yield from place(tmp_path, monkeypatch)


def test_importing_tracehouse_does_not_import_it_and_it_imports_no_array_library() -> None:
    script = """
import sys, tracehouse
assert "tracehouse.wandb" not in sys.modules
assert tracehouse.wandb is sys.modules["tracehouse.wandb"]
print(sorted({"numpy", "PIL", "torch", "matplotlib", "plotly", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in wandb.__all__:
        assert hasattr(wandb, name), name
    assert wandb.run is None
    published = "init log finish config summary run Run define_metric Histogram Image Video Audio Table save watch unwatch login alert"
    assert set(published.split()) <= set(wandb.__all__)


def test_arguments_of_init_reach_the_run(here: Place) -> None:
    run = here.begin(
        project="p", name="n", id="abc", config={"lr": 1, "nest": {"a": 1}}, tags=["t1", "t2"], notes="N", group="G",
        job_type="J", entity="E",
    )  # fmt: skip
    [begun] = here.of_type("run")
    assert (begun["project"], begun["name"], begun["client_run_id"]) == ("p", "n", "abc")
    assert begun["config"] == {
        "lr": 1, "nest": {"a": 1}, "wandb_entity": "E", "wandb_tags": ["t1", "t2"], "wandb_notes": "N",
        "wandb_job_type": "J", "wandb_group": "G",
    }  # fmt: skip
    assert (run.id, run.name, run.project, run.entity, run.group) == ("abc", "n", "p", "E", "G")
    assert (run.job_type, run.notes, run.tags, run.path) == ("J", "N", ("t1", "t2"), "E/p/abc")
    assert (run.url, run.offline, run.disabled, run.resumed, run.step) == (None, False, False, False, 0)
    assert wandb.run is run
    assert dict(wandb.config) == {"lr": 1, "nest": {"a": 1}}


def test_variables_speak_where_arguments_do_not(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "PROJECT": "vp", "NAME": "vn", "RUN_ID": "vid", "TAGS": "a, b", "NOTES": "vN", "RUN_GROUP": "vG",
        "JOB_TYPE": "vJ", "ENTITY": "vE",
    }  # fmt: skip
    for name, value in told.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    run = here.begin(name="given")
    assert (run.project, run.name, run.id, run.tags, run.notes) == ("vp", "given", "vid", ("a", "b"), "vN")
    assert (run.group, run.job_type, run.entity) == ("vG", "vJ", "vE")


def test_tracehouses_own_project_variable_comes_after_wandbs(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEHOUSE_PROJECT", "t")
    assert here.begin().project == "t"
    wandb.finish()
    monkeypatch.setenv("WANDB_PROJECT", "w")
    assert here.begin().project == "w"


def test_settings_speak_between_arguments_and_variables(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "variable")
    settings = wandb.Settings(project="s", run_name="sn", run_tags=("x",), x_disable_stats=True, start_method="thread")
    run = here.begin(settings=settings, name="argument")
    assert (run.project, run.name, run.tags) == ("s", "argument", ("x",))


@pytest.mark.parametrize("how", [{"mode": "disabled"}, {"WANDB_MODE": "disabled"}, {"WANDB_DISABLED": "true"}])
def test_disabled_records_nothing_and_everything_can_be_called(
    here: Place, monkeypatch: pytest.MonkeyPatch, how: dict[str, str]
) -> None:
    for name, value in how.items():
        if name.startswith("WANDB"):
            monkeypatch.setenv(name, value)
    run = here.begin(**({"mode": "disabled"} if "mode" in how else {}))
    wandb.log({"loss": 1, "img": wandb.Image(b"x")})
    wandb.summary["a"] = 1
    run.log_artifact(wandb.Artifact("a", "t"))
    wandb.alert("a", "b")
    assert run.disabled
    assert run.mode == "disabled"
    assert (wandb.summary["loss"], run.step) == (1, 1)
    wandb.finish()
    assert not here.spool.exists() or not jobs.sessions(here.spool)


def test_offline_is_recorded_and_said_to_be_the_same(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    run = here.begin(mode="offline")
    wandb.log({"a": 1})
    assert run.offline
    assert here.values() == {"a": 1}
    assert "mode 'offline'" in caplog.text


def test_an_unknown_mode_is_refused(here: Place) -> None:
    with pytest.raises(wandb.UsageError, match="mode must be one of"):
        here.begin(mode="sideways")


@pytest.mark.parametrize(
    "given",
    [
        argparse.Namespace(lr=0.1, layers=3),
        {"lr": 0.1, "layers": 3},
        [("lr", 0.1), ("layers", 3)],
        dataclasses.make_dataclass("C", [("lr", float), ("layers", int)])(0.1, 3),
    ],
    ids=["namespace", "dict", "pairs", "dataclass"],
)
def test_config_comes_in_many_coats(here: Place, given: Any) -> None:
    here.begin(config=given)
    assert here.config() == {"lr": 0.1, "layers": 3}
    assert wandb.config.lr == 0.1


def test_config_can_be_a_file_and_be_chosen_from(here: Place, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"lr": 1, "secret": 2, "depth": 3}')
    here.begin(config=str(path), config_exclude_keys=["secret"])
    assert here.config() == {"lr": 1, "depth": 3}


def test_config_is_read_and_written_in_every_way(here: Place) -> None:
    here.begin(config={"a": 1})
    config = wandb.config
    config.b = 2
    config["c"] = 3
    config.update({"d": 4}, allow_val_change=True)
    config.update(argparse.Namespace(e=5))
    assert config.setdefault("a", 9) == 1
    assert config.setdefault("f", 6) == 6
    config.setdefaults({"a": 0, "g": 7})
    whole = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7}
    assert dict(config) == config.as_dict() == dict(config.items()) == {**config} == here.config() == whole
    assert (config.get("a"), config.get("zz"), config.get("zz", 5), "a" in config, len(config)) == (1, None, 5, True, 7)
    assert list(config.keys()) == list(whole)
    with pytest.raises(AttributeError, match="nope"):
        config.nope  # noqa: B018
    with pytest.raises(KeyError, match="nope"):
        config["nope"]


def test_a_config_value_may_change_unless_that_is_refused(here: Place) -> None:
    here.begin(config={"lr": 1})
    wandb.config.lr = 2
    with pytest.raises(wandb.errors.ConfigError, match="lr"):
        wandb.config.update({"lr": 3, "new": 1}, allow_val_change=False)
    wandb.config.update({"lr": 2}, allow_val_change=False)
    assert here.config() == {"lr": 2}


def test_without_a_run_nothing_is_lost_silently(here: Place) -> None:
    for call in (
        lambda: wandb.log({"a": 1}),
        lambda: wandb.config.update({"a": 1}),
        lambda: wandb.config.a,
        lambda: wandb.summary.update({"a": 1}),
        lambda: wandb.define_metric("a"),
        lambda: wandb.save("x"),
    ):
        with pytest.raises(wandb.Error, match=r"no active run — call tracehouse.wandb.init\(\) first") as caught:
            call()
        assert isinstance(caught.value, NotActiveError)
        assert isinstance(caught.value, tracehouse.ClaudeMonitorError)
    wandb.finish()


def test_each_log_takes_a_step_and_nested_dicts_become_paths(here: Place) -> None:
    here.begin()
    wandb.log({"loss": 0.5, "eval": {"acc": 0.9, "top": {"5": 1.0}}})
    wandb.log({"loss": 0.4})
    assert here.rows() == [(0, {"loss": 0.5, "eval/acc": 0.9, "eval/top/5": 1.0}), (1, {"loss": 0.4})]


def test_uncommitted_calls_share_the_step(here: Place) -> None:
    run = here.begin()
    wandb.log({"a": 1}, commit=False)
    wandb.log({"b": 2}, commit=False)
    wandb.log({"c": 3})
    wandb.log({"d": 4})
    wandb.log({"e": 5}, commit=False)
    wandb.log({}, commit=True)
    wandb.log({})
    assert [(step, *values) for step, values in here.rows()] == [(0, "a"), (0, "b"), (0, "c"), (1, "d"), (2, "e")]
    assert run.step == 3


def test_a_given_step_is_open_until_committed(here: Place) -> None:
    run = here.begin()
    wandb.log({"a": 1}, step=10)
    assert run.step == 10
    wandb.log({"b": 2}, step=10)
    wandb.log({"c": 3})
    wandb.log({"d": 4})
    wandb.log({"e": 5}, step=20, commit=True)
    wandb.log({"f": 6})
    assert [(step, *values) for step, values in here.rows()] == [
        (10, "a"), (10, "b"), (10, "c"), (11, "d"), (20, "e"), (21, "f"),
    ]  # fmt: skip


def test_a_step_below_the_current_one_is_kept(here: Place) -> None:
    run = here.begin()
    wandb.log({"a": 1}, step=10)
    wandb.log({"late": 2}, step=3)
    wandb.log({"b": 3})
    assert here.rows() == [(10, {"a": 1}), (3, {"late": 2}), (10, {"b": 3})]
    assert run.step == 11


@pytest.mark.parametrize("values", [[1], "abc", 5, None])
def test_what_is_no_dict_is_refused(here: Place, values: Any) -> None:
    run = here.begin()
    with pytest.raises(ArgumentError, match="log takes a dict"):
        wandb.log(values)
    with pytest.raises(ValueError, match="step must be a number"):
        wandb.log({"a": 1}, step="x")
    assert run.step == 0


def test_nan_and_infinity_are_values(here: Place) -> None:
    here.begin()
    wandb.log({"a": math.nan, "b": math.inf, 3: "text"})
    assert here.values() == {
        "a": {"_type": "number", "value": "NaN"}, "b": {"_type": "number", "value": "Infinity"}, "3": "text",
    }  # fmt: skip


def test_a_run_begun_again_by_its_id_goes_on(here: Place) -> None:
    here.begin(id="again")
    wandb.log({"a": 1})
    wandb.log({"a": 2})
    wandb.finish()
    run = here.begin(id="again", resume="must")
    assert (run.resumed, run.step) == (True, 2)
    wandb.log({"a": 3})
    assert [step for step, _ in here.rows()] == [0, 1, 2]


def test_a_resumed_runs_summary_has_what_was_there(here: Place) -> None:
    here.begin(id="again")
    wandb.log({"a": 1, "b": 2})
    wandb.summary["best"] = 5
    wandb.finish()
    here.begin(id="again")
    wandb.log({"a": 3})
    assert {key: wandb.summary[key] for key in ("a", "b", "best")} == {"a": 3, "b": 2, "best": 5}


def test_a_resumed_runs_config_has_what_was_there(here: Place) -> None:
    here.begin(id="again", config={"lr": 1, "bs": 8}, tags=["a"])
    wandb.config.late = 2
    wandb.define_metric("loss", summary="min")
    wandb.finish()
    here.begin(id="again", config={"bs": 16})
    assert dict(wandb.config) == {"lr": 1, "bs": 16, "late": 2}


def test_resume_must_and_never_hold(here: Place) -> None:
    with pytest.raises(wandb.UsageError, match="there is no run 'x'"):
        here.begin(id="x", resume="must")
    here.begin(id="x", resume="never")
    wandb.finish()
    with pytest.raises(wandb.UsageError, match="there is a run 'x'"):
        here.begin(id="x", resume="never")
    with pytest.raises(wandb.UsageError, match="resume must be one of"):
        here.begin(id="x", resume="maybe")


def test_init_again_gives_the_open_run_and_says_so(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    first = here.begin(name="one")
    assert here.begin(name="two", config={"late": 1}) is first
    assert "without name" in caplog.text
    assert here.config() == {"late": 1}


def test_reinit_finishes_the_earlier_run(here: Place) -> None:
    first = here.begin(id="a")
    second = here.begin(id="b", reinit=True)
    assert wandb.run is second
    assert jobs.of_type(jobs.sessions(here.spool)[0], "run_patch")[-1]["status"] == "finished"
    third = here.begin(id="c", reinit="create_new")
    assert wandb.run is second
    third.log({"x": 1})
    third.finish()
    assert wandb.run is second
    assert first.id == "a"


@pytest.mark.parametrize("code, status", [(None, "finished"), (0, "finished"), (1, "failed")])
def test_finish_tells_the_status(here: Place, code: int | None, status: str) -> None:
    here.begin()
    wandb.finish(exit_code=code)
    assert here.status() == status
    assert wandb.run is None
    wandb.finish()


def test_a_with_block_tells_how_it_was_left(here: Place) -> None:
    with here.begin(id="good") as run:
        run.log({"a": 1})
    with pytest.raises(ZeroDivisionError), here.begin(id="bad"):
        raise ZeroDivisionError
    found = {
        path.name.split("-")[1]: jobs.of_type(path, "run_patch")[-1]["status"] for path in jobs.sessions(here.spool)
    }
    assert found == {"good": "finished", "bad": "crashed"}
    assert wandb.run is None


def test_the_summary_is_the_last_values_and_what_is_set(here: Place) -> None:
    here.begin()
    wandb.log({"loss": 0.5, "eval": {"acc": 0.1}})
    wandb.log({"loss": 0.4})
    wandb.summary["best_epoch"] = 7
    wandb.run.summary.note_ = "kept"
    wandb.summary.update({"x": {"y": 1}})
    summary = wandb.summary
    assert (summary["loss"], summary["eval/acc"], summary["best_epoch"], summary.best_epoch) == (0.4, 0.1, 7, 7)
    assert (summary["_step"], summary.get("nope"), "loss" in summary) == (1, None, True)
    assert dict(summary)["x"] == {"y": 1}
    with pytest.raises(KeyError):
        summary["nope"]
    assert here.values()["best_epoch"] == 7
    assert here.values()["note_"] == "kept"


def test_a_summary_of_a_logged_metric_does_not_falsify_its_curve(here: Place) -> None:
    here.begin()
    wandb.log({"acc": 0.9})
    wandb.log({"acc": 0.7})
    wandb.summary["acc"] = 0.9
    assert wandb.summary["acc"] == 0.9
    assert [values["acc"] for _, values in here.rows() if "acc" in values] == [0.9, 0.7]
    assert here.values()["summary/acc"] == 0.9


def test_define_metric_chooses_the_summary(here: Place) -> None:
    here.begin()
    wandb.define_metric("epoch")
    wandb.define_metric("loss", summary="min,max,mean")
    wandb.define_metric("val/*", step_metric="epoch", summary="max")
    wandb.define_metric("val/skip", summary="none")
    wandb.define_metric("err", summary="best", goal="minimize")
    wandb.define_metric("score", summary="best", goal="maximize")
    for loss, acc in ((3.0, 0.1), (1.0, 0.5), (math.nan, 0.5), (2.0, 0.3)):
        wandb.log({"loss": loss, "val": {"acc": acc, "skip": 1}, "err": loss, "score": loss, "plain": loss})
    summary = wandb.summary
    assert summary["loss"] == {"min": 1.0, "max": 3.0, "mean": 2.0}
    assert (summary["loss.min"], summary["val/acc"]) == (1.0, {"max": 0.5})
    assert (summary["err"], summary["score"], summary["plain"]) == ({"best": 1.0}, {"best": 3.0}, 2.0)
    assert "val/skip" not in summary
    wandb.finish()
    assert here.config()["_metric_defs"]["val/*"] == {"step_metric": "epoch", "summary": "max"}
    last = here.rows()[-1]
    assert last == (
        3,
        {"err.best": 1.0, "loss.max": 3.0, "loss.mean": 2.0, "loss.min": 1.0, "score.best": 3.0, "val/acc.max": 0.5},
    )


def test_define_metric_refuses_what_there_is_not(here: Place) -> None:
    here.begin()
    with pytest.raises(wandb.Error, match="summary must be of"):
        wandb.define_metric("a", summary="median")
    with pytest.raises(wandb.Error, match="goal must be one of"):
        wandb.define_metric("a", goal="up")


def test_summaries_other_than_the_last_are_recorded_when_nobody_calls_finish(tmp_path: Path) -> None:
    job = jobs.run(
        """
        import tracehouse.wandb as wandb
        wandb.init(capture_env=False, system_metrics=False)
        wandb.define_metric("loss", summary="min")
        wandb.log({"loss": 2}); wandb.log({"loss": 1}); wandb.log({"loss": 3})
        """,
        tmp_path / "spool",
    )
    assert (job.code, job.err) == (0, "")
    session = jobs.only_session(tmp_path / "spool")
    assert jobs.of_type(session, "metrics")[-1]["values"] == {"loss.min": 1}
    assert jobs.of_type(session, "exit")[0]["status"] == "finished"


def test_tags_notes_and_name_can_change(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    run = here.begin(tags=["a"])
    run.tags += ("b",)
    run.notes = "later"
    run.name = "other"
    run.mark_preempting()
    assert here.config() == {
        "wandb_tags": ["a", "b"], "wandb_notes": "later", "wandb_name": "other", "wandb_preempting": True,
    }  # fmt: skip
    assert "run.name" in caplog.text


def test_the_url_is_there_once_the_run_is_uploaded(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = here.begin(id="u")
    assert run.url is None
    noted = here.session / "upload" / "d" / "ids.jsonl"
    noted.parent.mkdir(parents=True)
    noted.write_text('{"kind": "run", "session": "u", "id": "rn1"}\n')
    assert run.url == "https://tracehouse.ai/runs/rn1"


def test_what_cannot_be_honoured_is_said_once(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(2):
        here.begin(
            id=str(n), save_code=True, monitor_gym=True, anonymous="allow", fork_from="x", unheard=1,
            settings=wandb.Settings(x_primary=True), reinit=True,
        )  # fmt: skip
        wandb.run.log_code()
    for what in ("save_code", "monitor_gym", "(anonymous=", "fork_from", "unheard", "Settings(primary)", "log_code"):
        assert caplog.text.count(what) == 1, what
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_silence_is_kept(here: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    here.begin(save_code=True)
    assert not caplog.records


@pytest.mark.parametrize("call", [wandb.Api, wandb.sweep, wandb.agent, wandb.controller])
def test_what_does_not_exist_names_the_alternative(call: Any) -> None:
    with pytest.raises(wandb.errors.UsageError, match=r"tracehouse show|Optuna"):
        call()


def test_login_needs_nothing_and_takes_a_key_of_ours(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    assert wandb.login() is True
    assert wandb.login(key="f" * 40) is True
    assert "not a key of tracehouse" in caplog.text
    assert wandb.login(key="ba_" + "k" * 20) is True
    here.begin()
    manifest = (here.session / "session.json").read_text()
    assert '"credential":null' not in manifest.replace(" ", "")
    assert "ba_k" not in manifest


def test_the_modules_of_wandb_that_libraries_import_are_there() -> None:
    script = """
import sys, tracehouse.wandb
sys.modules["wandb"] = tracehouse.wandb
import wandb
from wandb.errors import CommError, UsageError
from wandb.sdk.lib import RunDisabled
from wandb.sdk.lib.config_util import ConfigError
from wandb.wandb_run import Run
from wandb.data_types import Image, Table
from wandb.util import generate_id
import wandb.plot
assert CommError is tracehouse.wandb.CommError and Run is RunDisabled is wandb.Run and Image is wandb.Image
assert issubclass(ConfigError, wandb.Error) and len(generate_id()) == 12
assert wandb.plot.line and wandb.run is None
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_forked_child_logs_to_its_parents_run(tmp_path: Path) -> None:
    job = jobs.run(
        """
        import tracehouse.wandb as wandb
        run = wandb.init(capture_env=False, system_metrics=False, project="p")
        wandb.define_metric("x", summary="max")
        wandb.log({"x": 1})
        pid = os.fork()
        if pid == 0:
            wandb.log({"child": 1})
            sys.exit(3)
        os.waitpid(pid, 0)
        wandb.log({"x": 2})
        """,
        tmp_path / "spool",
    )
    assert job.code == 0, job.err
    session = jobs.only_session(tmp_path / "spool")
    values = [one["values"] for one in jobs.of_type(session, "metrics")]
    assert sorted(map(str, values)) == sorted(map(str, [{"x": 1}, {"child": 1}, {"x": 2}, {"x.max": 2}]))
    assert [one["status"] for one in jobs.of_type(session, "exit") if one["status"]] == ["finished"]


def test_a_forked_child_begins_a_run_of_its_own(tmp_path: Path) -> None:
    job = jobs.run(
        """
        import tracehouse.wandb as wandb
        quiet = dict(capture_env=False, system_metrics=False)
        wandb.init(id="parent", **quiet)
        pid = os.fork()
        if pid == 0:
            wandb.init(id="child", **quiet)
            wandb.log({"c": 1})
            wandb.finish()
            os._exit(0)
        os.waitpid(pid, 0)
        wandb.log({"p": 1})
        wandb.finish()
        """,
        tmp_path / "spool",
    )
    assert job.code == 0, job.err
    found = {path.name.split("-")[1]: path for path in jobs.sessions(tmp_path / "spool")}
    assert {name: jobs.of_type(path, "metrics")[0]["values"] for name, path in found.items()} == {
        "child": {"c": 1},
        "parent": {"p": 1},
    }
    assert {jobs.of_type(path, "run_patch")[-1]["status"] for path in found.values()} == {"finished"}


def test_arguments_that_are_not_known_are_said(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    run = here.begin()
    run.log({"a": 1}, speed=3)
    run.define_metric("a", colour="red")
    wandb.Artifact("a", "t", ttl=5)
    assert [word for word in ("speed", "colour", "ttl") if word in caplog.text] == ["speed", "colour", "ttl"]
    wandb.log(values={"b": 2})
    assert here.values() == {"a": 1, "b": 2}


def test_rollouts_belong_to_the_run(here: Place) -> None:
    run = here.begin()
    wandb.log({"a": 1}, step=4)
    with run.rollout(group=1, sample=2) as rollout:
        rollout.log_user("2+2=")
    assert here.of_type("trace")[0]["rollout_step"] == 4
