"""Training runs: steps, values, media, config, artifacts, rollouts, and finding a run from elsewhere."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs
from tracehouse import defaults

QUIET: dict[str, Any] = {"capture_env": False, "system_metrics": False}


@pytest.fixture(autouse=True)
def _spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRACEHOUSE_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr(defaults, "_training_run", None)
    yield
    jobs.close_all()


def _of(spool: Path, kind: str) -> list[dict[str, Any]]:
    return jobs.of_type(jobs.only_session(spool), kind)


def _steps(spool: Path) -> list[int]:
    return [one["step"] for one in _of(spool, "metrics")]


def test_the_run_record_is_the_body_of_its_request(tmp_path: Path) -> None:
    cm.TrainingRun(
        project="p",
        name="n",
        config={"lr": 1e-5, "nested": {"a": [1]}},
        client_run_id="c1",
        hf_dataset="d/s",
        hf_dataset_split="train",
        hf_model="m/m",
        hf_model_revision="rev",
        **QUIET,
    )
    [run] = _of(tmp_path, "run")
    assert run.pop("started_at")
    assert run == {
        "name": "n",
        "client_run_id": "c1",
        "project": "p",
        "config": {"lr": 1e-5, "nested": {"a": [1]}},
        "hf_dataset": "d/s",
        "hf_dataset_split": "train",
        "hf_model": "m/m",
        "hf_model_revision": "rev",
    }


def test_a_run_told_nothing_names_itself(tmp_path: Path) -> None:
    run = cm.TrainingRun(config={}, **QUIET)
    [recorded] = _of(tmp_path, "run")
    assert set(recorded) == {"name", "client_run_id", "started_at"}
    assert run.name.startswith("run-")
    assert run.client_run_id.startswith("py-")
    assert run.run_id is None


def test_steps_go_on_after_the_highest_and_nothing_takes_none(tmp_path: Path) -> None:
    run = cm.TrainingRun(**QUIET)
    run.log({"a": 1})
    run.log({})
    run.log(None, step=40)
    run.log({"a": 2}, commit=False)
    run.log({"a": 3}, step=20.9)
    run.log({"a": 4}, step=5)
    run.log({"a": 5}, step=True)
    run.log({"a": 6})
    assert _steps(tmp_path) == [0, 1, 20, 5, 1, 21]


@pytest.mark.parametrize("step", ["21", b"2", float("nan"), float("inf"), [1], object()])
def test_a_step_that_is_no_number_is_refused_and_takes_none(tmp_path: Path, step: Any) -> None:
    run = cm.TrainingRun(**QUIET)
    with pytest.raises(cm.ArgumentError, match="step must be a number"):
        run.log({"a": 1}, step=step)
    run.log({"a": 1})
    assert _steps(tmp_path) == [0]


@pytest.mark.parametrize("values", [[1], "a", 5, {1}])
def test_values_that_are_no_mapping_are_refused_and_take_no_step(tmp_path: Path, values: Any) -> None:
    run = cm.TrainingRun(**QUIET)
    with pytest.raises(cm.ArgumentError, match="values must be a mapping"):
        run.log(values)
    run.log({"a": 1})
    assert _steps(tmp_path) == [0]


def test_values_are_recorded_as_they_are(tmp_path: Path) -> None:
    run = cm.TrainingRun(**QUIET)
    values = {"i": 1, "f": 0.5, "t": "x", "n": None, "b": True, "l": [1, [2]], "d": {"e": {"f": 1}}}
    run.log(values, wall_time="w", step=10**20)
    [one] = _of(tmp_path, "metrics")
    assert one == {"step": 10**20, "wall_time": "w", "values": values}


def test_e5_a_value_that_contains_itself_is_looked_through_for_media_once(tmp_path: Path) -> None:
    own: dict[str, Any] = {"a": 1, "i": cm.Image(b"GIF89a")}
    own["self"] = own
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"deep": deep}
    run = cm.TrainingRun(client_run_id="r", **QUIET)
    run.log({"own": own})
    run.log({"deep": deep})
    assert len(_of(tmp_path, "metrics")) == 2
    assert [one["key"] for one in _of(tmp_path, "media")] == ["own/i"]


def test_automatic_steps_go_on_when_a_run_is_resumed(tmp_path: Path) -> None:
    script = """
run = cm.init_run(client_run_id='r', capture_env=False, system_metrics=False)
for _ in range(3): run.log({'a': 1})
"""
    jobs.run(script + "run.log({'a': 1}, step=10)", tmp_path)
    jobs.run(script + "os._exit(0)", tmp_path)
    jobs.run(script + "run.log({'i': cm.Image(b'GIF89a')})", tmp_path)
    jobs.run(script, tmp_path)
    assert sorted(_steps(tmp_path)) == [0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20]


def test_automatic_steps_go_on_where_a_kill_left_the_last_segment_empty(tmp_path: Path) -> None:
    run = cm.TrainingRun(client_run_id="r", **QUIET)
    run.log({"a": 1})
    run.finish()
    [segment] = jobs.only_session(tmp_path).glob("*.jsonl")
    segment.with_name(f"{segment.name[:16]}-000001.jsonl").touch()
    jobs.run("cm.init_run(client_run_id='r', capture_env=False, system_metrics=False).log({'a': 2})", tmp_path)
    assert sorted(_steps(tmp_path)) == [0, 1]


def test_e3_steps_and_rollouts_of_a_run_that_is_resumed_on_a_full_disk_are_not_those_of_before(tmp_path: Path) -> None:
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
run = cm.init_run(client_run_id='r', capture_env=False, system_metrics=False)
with run.rollout(step=0): run.log({'a': 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(run.flush())
"""
    assert jobs.run(script, tmp_path, str(1 << 20)).out == "True\n"
    assert jobs.run(script, tmp_path, "0").out == "True\n"
    assert sorted(_steps(tmp_path)) == [0, 1]
    assert len({one["session_id"] for one in _of(tmp_path, "trace")}) == 2


def test_automatic_steps_go_on_after_those_of_others_when_a_run_is_resumed_where_it_began(tmp_path: Path) -> None:
    with cm.TrainingRun(client_run_id="r", **QUIET) as run:
        run.log({"a": 1})
        job = jobs.run("cm.attach_run('r').log({'worker': 1}, step=7)", tmp_path)
        assert job.code == 0, job.err
    with cm.TrainingRun(client_run_id="r", **QUIET) as again:
        again.log({"a": 2})
    assert sorted(_steps(tmp_path)) == [0, 7, 8]


def test_automatic_steps_go_on_after_segments_that_an_agent_removed(tmp_path: Path) -> None:
    run = cm.TrainingRun(client_run_id="r", **QUIET)
    run.finish()
    session = jobs.only_session(tmp_path)
    receipt = session / "upload" / "d" / "receipt.json"
    receipt.parent.mkdir(parents=True)
    receipt.write_text(json.dumps({"next_step": 77}))
    jobs.run("cm.init_run(client_run_id='r', capture_env=False, system_metrics=False).log({'a': 1})", tmp_path)
    assert _steps(tmp_path) == [77]


def test_the_system_s_samples_never_take_a_step(tmp_path: Path) -> None:
    script = """
run = cm.init_run(client_run_id='r', capture_env=False, system_metrics_interval=0.1)
import glob, time
def samples():
    return sum(b'system/' in open(path, 'rb').read() for path in glob.glob(run.spool_path + '/*.jsonl'))
deadline = time.monotonic() + 60
while not samples() and time.monotonic() < deadline:
    time.sleep(0.01)
run.log({'a': 1})
"""
    for _ in range(2):
        jobs.run(script, tmp_path)
    metrics = _of(tmp_path, "metrics")
    assert sorted(one["step"] for one in metrics if "a" in one["values"]) == [0, 1]
    assert any("system/ram.used_pct" in one["values"] for one in metrics)


def test_media_among_values_bear_the_step_and_take_it(tmp_path: Path) -> None:
    run = cm.TrainingRun(**QUIET)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    run.log({"loss": 1, "img": cm.Image(picture, caption="c")})
    run.log({"only": cm.Image(b"GIF89a")})
    run.log({"list": [cm.Image(b"GIF89a"), cm.Image(b"GIF89b"), 5], "deep": {"v": cm.Video(b"v"), "x": 1}}, step=7)
    run.log_image("k", picture, caption="", step=3)
    run.log_video("v", b"mp4")
    run.log({"a": 1})
    session = next(path for path in tmp_path.iterdir() if path.name.startswith("run-"))
    media = jobs.of_type(session, "media")
    assert [(one["key"], one.get("step"), one.get("caption")) for one in media] == [
        ("img", 0, "c"),
        ("only", 1, None),
        ("list", 7, None),
        ("list", 7, None),
        ("deep/v", 7, None),
        ("k", 3, None),
        ("v", None, None),
    ]
    for one in media:
        assert (session / "media" / one["file"]).stat().st_size == one["size"]
    assert [one["values"] for one in jobs.of_type(session, "metrics")] == [
        {"loss": 1},
        {"list": [5], "deep": {"x": 1}},
        {"a": 1},
    ]
    assert [one["step"] for one in jobs.of_type(session, "metrics")] == [0, 7, 8]
    assert len(list((session / "media").iterdir())) == len({one["sha256"] for one in media})


def test_config_changes_are_recorded(tmp_path: Path) -> None:
    run = cm.TrainingRun(config=argparse.Namespace(lr=1), **QUIET)  # type: ignore[arg-type]
    run.config["a"] = 1
    run.config.update({"b": 2}, c=3)
    run.config.update(argparse.Namespace(d=4))
    run.config.setdefault("e", 5)
    run.config.setdefault("a", 9)
    run.config |= {"f": 6}
    run.config.update()
    assert _of(tmp_path, "config_patch") == [{"a": 1}, {"b": 2, "c": 3}, {"d": 4}, {"e": 5}, {"f": 6}]
    assert run.config == {"lr": 1, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}


def test_the_summary_can_be_read_back_and_takes_no_step(tmp_path: Path) -> None:
    run = cm.TrainingRun(**QUIET)
    run.log({"a": 1})
    run.summary["best"] = 0.5
    run.summary.update(worst=2)
    run.log({"a": 2})
    assert (run.summary["best"], run.summary.get("worst"), len(run.summary)) == (0.5, 2, 2)
    assert [(one["step"], one["values"]) for one in _of(tmp_path, "metrics")] == [
        (0, {"a": 1}),
        (1, {"best": 0.5}),
        (1, {"worst": 2}),
        (1, {"a": 2}),
    ]


def test_links_artifacts_and_cards(tmp_path: Path) -> None:
    run = cm.TrainingRun(name="n", **QUIET)
    run.link_dataset("a/b", split="s")
    run.link_dataset("a/c")
    run.link_model("m/n", revision="v")
    run.add_artifact("x", data={"a": 1})
    run.add_artifact("t", data="txt", kind="text")
    with pytest.raises(cm.ArgumentError, match=r"kind must be one of \('json', 'text', 'params'\), got 'bogus'"):
        run.add_artifact("x", data=1, kind="bogus")
    assert run.push_model_card(commit_message="cm")["recorded"] is True
    run.push_model_card()
    assert _of(tmp_path, "run_patch") == [
        {"hf_dataset": "a/b", "hf_dataset_split": "s"},
        {"hf_dataset": "a/c"},
        {"hf_model": "m/n", "hf_model_revision": "v"},
    ]
    assert (run.hf_dataset, run.hf_dataset_split) == ("a/c", "s")
    assert _of(tmp_path, "artifact") == [
        {"name": "x", "kind": "json", "data": {"a": 1}},
        {"name": "t", "kind": "text", "data": "txt"},
    ]
    assert _of(tmp_path, "push_model_card") == [{"commit_message": "cm"}, {}]


def test_the_model_card_of_a_resumed_run_has_the_config_of_before(tmp_path: Path) -> None:
    run = cm.TrainingRun(client_run_id="r", config={"lr": 1, "bs": 8}, **QUIET)
    run.config["late"] = 2
    run.finish()
    card = cm.TrainingRun(client_run_id="r", config={"bs": 16}, **QUIET).model_card()
    assert all(row in card for row in ("| lr | 1 |", "| bs | 16 |", "| late | 2 |"))


def test_a_resumed_run_knows_what_it_was_told_before(tmp_path: Path) -> None:
    first = cm.TrainingRun(client_run_id="r", config={"lr": 1, "nan": math.nan}, hf_dataset="d", hf_model="m", **QUIET)
    first.config["late"] = 2
    first.link_dataset("a/b", split="s")
    first.summary["best"] = math.inf
    first.log({"loss": 0.5, "system/x": 1})
    first.finish()
    again = cm.TrainingRun(client_run_id="r", config={"lr": 3}, hf_model="n", **QUIET)
    again.link_model("n", revision="v")
    assert {key: again.config[key] for key in ("lr", "late")} == {"lr": 3, "late": 2}
    assert math.isnan(again.config["nan"])
    links = (again.hf_dataset, again.hf_dataset_split, again.hf_model, again.hf_model_revision)
    assert links == ("a/b", "s", "n", "v")
    assert again.summary == {"best": math.inf, "loss": 0.5}
    card = again.model_card()
    assert all(part in card for part in ("| lr | 3 |", "| late | 2 |", "a/b (s)", "n (v)", "| loss | 0.5 |"))
    assert [one["config"] for one in _of(tmp_path, "run")][1:] == [{"lr": 3}], "only what is new is told again"


def test_an_attached_part_knows_what_the_run_was_told(tmp_path: Path) -> None:
    cm.init_run(client_run_id="r", config={"lr": 1}, hf_model="m", **QUIET)
    job = jobs.run("run = cm.attach_run('r')\nprint(run.config, run.hf_model, run.hf_dataset, run.summary)", tmp_path)
    assert job.out == "{'lr': 1} m None {}\n", job.err


def test_a_resumed_run_whose_segments_were_removed_has_what_it_is_given(tmp_path: Path) -> None:
    cm.TrainingRun(client_run_id="r", config={"lr": 1}, hf_model="m", **QUIET).finish()
    session = jobs.only_session(tmp_path)
    receipt = session / "upload" / "d" / "receipt.json"
    receipt.parent.mkdir(parents=True)
    receipt.write_text(json.dumps({"next_step": 7, "attempt": 1, "claim": 1}))
    for segment in session.glob("*.jsonl"):
        segment.unlink()
    script = "run = cm.init_run(client_run_id='r', config={'b': 2}, capture_env=False, system_metrics=False)\nrun.log({'a': 1})\n"
    job = jobs.run(script + "print(run.config, run.hf_model, run.summary, '| b | 2 |' in run.model_card())", tmp_path)
    assert job.out == "{'b': 2} None {'a': 1} True\n", job.err


def test_the_model_card_is_made_of_what_lies_here(tmp_path: Path) -> None:
    run = cm.TrainingRun(name="a|b<c>", config={"lr": 1e-5}, hf_dataset="d/s", hf_model="me/model", **QUIET)
    run.log({"loss": 1.0, "text": "x"})
    run.log({"loss": float("nan"), "acc": 0.5})
    run.log({"loss": 0.25})
    card = run.model_card()
    assert card.startswith("---\n")
    assert "| loss | 0.25 |" in card
    assert "| lr | 1e-05 |" in card
    assert 'name: "acc"' in card
    assert "a\\|b&lt;c>" in card


def test_the_environment_is_recorded_without_being_waited_for(tmp_path: Path) -> None:
    run = cm.TrainingRun(system_metrics=False)
    run.finish()
    [environment] = _of(tmp_path, "artifact")
    assert (environment["name"], environment["kind"]) == ("environment", "json")
    assert environment["data"]["python"]["version"]
    assert [one.type for one in jobs.records(jobs.only_session(tmp_path))][-2:] == ["run_patch", "close"]


@pytest.mark.parametrize("status", ["running", "finished", "failed", "crashed", "killed"])
def test_finish_states_the_status_once(tmp_path: Path, status: str) -> None:
    run = cm.TrainingRun(**QUIET)
    with pytest.raises(cm.ArgumentError, match=r"status must be one of .* got 'bogus'"):
        run.finish(status="bogus")
    assert run.finish(status=status) is True
    assert run.finish() is True
    [patch] = _of(tmp_path, "run_patch")
    assert (patch["status"], set(patch)) == (status, {"status", "ended_at"})


def test_a_second_init_run_kills_the_first(tmp_path: Path) -> None:
    cm.init_run(client_run_id="a", **QUIET)
    cm.init_run(client_run_id="b", **QUIET)
    first, second = jobs.sessions(tmp_path)
    assert [patch["status"] for patch in jobs.of_type(first, "run_patch")] == ["killed"]
    assert not jobs.of_type(second, "run_patch")


def test_a_run_that_is_not_created_is_not_active() -> None:
    run = cm.TrainingRun(auto_create=False)
    for call in (
        lambda: run.log({"a": 1}),
        lambda: run.log_image("k", b"GIF89a"),
        run.finish,
        lambda: run.link_model("a/b"),
        lambda: run.config.update(a=1),
    ):
        with pytest.raises(cm.ClaudeMonitorError, match="run is not active"):
            call()
    with pytest.raises(cm.ClaudeMonitorError, match="run was not created — no run_id"):
        run.rollout()


def test_s6_rollouts_lie_in_their_runs_directory(tmp_path: Path) -> None:
    run = cm.TrainingRun(project="p", name="n", client_run_id="r", **QUIET)
    run.log({"a": 1})
    for _ in range(3):
        with run.rollout(step=7) as t:
            t.log_user("x")
    with run.rollout() as t:
        t.log_user("y")
    named = run.rollout(step=8, name="task", session_id="own", group="g", sample=2, model="m", scaffold="s")
    named.finish(outcome="good", metadata={"reward": 1.5})
    run.log({"a": 2})
    run.finish()
    session = jobs.only_session(tmp_path)
    traces = jobs.of_type(session, "trace")
    assert [trace["session_id"] for trace in traces] == ["r-step7", "r-step7.1", "r-step7.2", "r-step1", "own"]
    assert [trace["rollout_step"] for trace in traces] == [7, 7, 7, 1, 8]
    assert traces[0]["task_name"] == "rollout step 7"
    assert {key: traces[4][key] for key in ("project", "task_name", "model", "scaffold")} == {
        "project": "p", "task_name": "task", "model": "m", "scaffold": "s",
    }  # fmt: skip
    assert jobs.of_type(session, "trace_patch") == [
        {"session_id": "own", "metadata": {"group": "g", "sample": 2}},
        {"session_id": "own", "outcome": "good", "metadata": {"reward": 1.5}},
    ]
    assert [one["step"] for one in jobs.of_type(session, "metrics")] == [0, 1]
    assert len(list(session.glob("*.jsonl"))) == 1


def test_s6_names_of_rollouts_stay_unique_over_many_steps_and_resumes(tmp_path: Path) -> None:
    names: list[str] = []
    for _ in range(3):
        run = cm.TrainingRun(client_run_id="r", **QUIET)
        names += [run.rollout(step=step).session_id for step in range(6000)]
        names += [run.rollout(step=step).session_id for step in range(0, 6000, 100)]
        run.finish()
        del run
    assert len(names) == len(set(names))
    assert names[:2] == ["r-step0", "r-step1"]


def test_a_rollout_takes_nothing_that_is_the_run_s() -> None:
    run = cm.TrainingRun(**QUIET)
    for name in ("project", "task_name", "run_id", "rollout_step", "machine_id", "hostname", "api_base", "transport"):
        with pytest.raises(TypeError):
            run.rollout(**{name: "x"})  # type: ignore[arg-type]
    assert run.rollout(api_key="ba_other").project is None


def test_workers_find_the_run_by_environment_by_id_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cm.init_run(client_run_id="r", project="p", name="n", **QUIET)
    assert os.environ["TRACEHOUSE_RUN"] == run.spool_path
    for call in ("cm.attach_run()", "cm.attach_run('r')"):
        job = jobs.run(f"run = {call}\nrun.log({{'worker': 1}}, step=5)\nprint(run.name, run.project)", tmp_path)
        assert job.out == "n p\n", job.err
    job = jobs.run("print(cm.attach_run('r').client_run_id)", tmp_path, TRACEHOUSE_RUN="")
    assert job.out == "r\n", job.err
    cm.run_finish()
    assert "TRACEHOUSE_RUN" not in os.environ
    with pytest.raises(cm.NotActiveError, match="no run to attach to"):
        cm.attach_run()
    with pytest.raises(cm.NotActiveError, match="no run 'other' in"):
        cm.attach_run("other")
    assert len(_of(tmp_path, "run")) == 1
    assert [one["status"] for one in _of(tmp_path, "run_patch")] == ["finished"]
    assert [one["status"] for one in _of(tmp_path, "exit")] == [None, None], "of those who logged"


@pytest.mark.parametrize("what", ["nothing", "file", "empty", "trace", "broken"])
def test_a_variable_that_names_no_run_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    place = tmp_path / "place"
    if what == "file":
        place.write_text("x")
    elif what != "nothing":
        place.mkdir()
    if what == "broken":
        (place / "session.json").write_text("{")
    if what == "trace":
        place = Path(cm.Run(session_id="s", spool_dir=tmp_path / "spool").spool_path)
    monkeypatch.setenv("TRACEHOUSE_RUN", str(place))
    with pytest.raises(cm.NotActiveError, match=f"TRACEHOUSE_RUN names {place}.*: .*client_run_id"):
        cm.attach_run()


def test_an_attached_part_never_finishes_the_run(tmp_path: Path) -> None:
    cm.init_run(client_run_id="r", **QUIET)
    jobs.run("with cm.attach_run() as run: run.log({'a': 1})", tmp_path)
    jobs.run("run = cm.attach_run(); run.log({'a': 1}); run.finish(status='failed')", tmp_path)
    jobs.run("run = cm.attach_run(); run.log({'a': 1}); 1/0", tmp_path)
    assert _of(tmp_path, "run_patch") == []
    assert [one["status"] for one in _of(tmp_path, "exit")] == [None]


def test_two_runs_of_one_id_share_a_session(tmp_path: Path) -> None:
    one = cm.TrainingRun(client_run_id="r", **QUIET)
    two = cm.TrainingRun(client_run_id="r", **QUIET)
    one.log({"a": 1})
    two.log({"a": 1})
    one.finish()
    two.log({"a": 1})
    two.finish()
    session = jobs.only_session(tmp_path)
    assert jobs.gaps(session) == {}
    assert _steps(tmp_path) == [0, 1, 2]


def test_numpy_values_are_numbers(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    run = cm.TrainingRun(**QUIET)
    run.log({"f": numpy.float32(0.5), "i": numpy.int64(3), "a": numpy.arange(3)}, step=numpy.int64(4))
    [one] = _of(tmp_path, "metrics")
    assert one["values"] == {"f": 0.5, "i": 3, "a": [0, 1, 2]}
    assert one["step"] == 4


def test_e3_values_are_recorded_beside_media_that_cannot_be_read(tmp_path: Path) -> None:
    run = cm.TrainingRun(spool_dir=tmp_path, capture_env=False, system_metrics=False)
    with pytest.raises(cm.MediaUnreadable, match=r"missing\.png"):
        run.log({"loss": 0.5, "picture": cm.Image("missing.png"), "after": 1})
    run.finish()
    [metrics] = jobs.of_type(jobs.only_session(tmp_path), "metrics")
    assert metrics["values"] == {"loss": 0.5, "after": 1}
