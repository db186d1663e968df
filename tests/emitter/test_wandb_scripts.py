"""Scripts written the way well-known projects use wandb, run as they are; and some of these projects themselves, where installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import jobs
from tests.support.lanes import needs_module
from tests.support.wandb import Place
from tracehouse.wandb import tensorboard

SCRIPTS = Path(__file__).parent / "data" / "wandb"


def _run(name: str, tmp_path: Path, *, errors: tuple[str, ...] | None = ()) -> Place:
    """What a script left; ``errors`` are what its stderr names, None for whatever other libraries say there."""
    path = tmp_path / name
    shutil.copyfile(SCRIPTS / name, path)
    environ = jobs.environ(tmp_path / "spool", WANDB_DISABLED="")
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    if errors is not None:
        lines = done.stderr.splitlines()
        assert len(lines) == len(errors), done.stderr
        assert all(any(word in line for line in lines) for word in errors), done.stderr
    return Place(tmp_path / "spool")


def _own(place: Place) -> list[tuple[int, dict[str, Any]]]:
    return [(step, values) for step, values in place.rows() if not any(key.startswith("system/") for key in values)]


def _ended(place: Place) -> str | None:
    exits = [one["status"] for one in place.of_type("exit")]
    return place.status() or (exits[-1] if exits else None)


def test_a_train_loop_like_nanogpts(tmp_path: Path) -> None:
    place = _run("nanogpt_like.py", tmp_path)
    rows = _own(place)
    assert [(step, values["iter"]) for step, values in rows] == [(0, 0), (1, 5), (2, 10), (3, 15), (4, 20)]
    assert set(rows[0][1]) == {"iter", "train/loss", "val/loss", "lr", "mfu"}
    assert place.of_type("run")[0]["config"]["learning_rate"] == 6e-4
    assert _ended(place) == "finished"


def test_a_callback_like_hugging_faces(tmp_path: Path) -> None:
    place = _run("trainer_callback_like.py", tmp_path)
    assert place.of_type("run")[0]["name"] == "bert"
    config = place.config()
    assert (config["learning_rate"], config["model/num_parameters"]) == (5e-5, 124)
    assert config["_metric_defs"]["*"] == {"step_metric": "train/global_step", "step_sync": True}
    assert [values.get("train/loss") for _, values in _own(place)][:1] == [0.1]
    assert place.values()["train_loss"] == 0.07
    [name] = [name for name in place.artifacts() if name.startswith("artifact/model-")]
    listed = place.artifacts()[name]
    assert (listed["aliases"], listed["metadata"]["train_loss"]) == (["final_model"], 0.07)
    assert [one["key"].rpartition("/")[2] for one in place.media()] == ["model.safetensors"]


def test_a_logger_like_lightnings(tmp_path: Path) -> None:
    place = _run("logger_like.py", tmp_path, errors=("mode 'offline'",))
    assert place.config()["layers"] == [8, 8]
    assert [values["trainer/global_step"] for _, values in _own(place)] == [0, 1, 2, 2, 2]
    assert [one["caption"] for one in place.media("samples")] == ["a", "b"]


def test_a_detector_like_yolos(tmp_path: Path) -> None:
    place = _run("detection_like.py", tmp_path)
    assert {step for step, _ in _own(place)} == {1, 2, 3}
    assert {"labels_0", "results_1", "Validation-Table/image/0"} <= {one["key"] for one in place.media()}
    values = place.values()
    assert values["Validation-Table"]["data"][1][1]["media"] == "Validation-Table/image/1"
    assert values["Validation-Table/image/1"][0]["boxes"]["predictions"]["box_data"][0]["box_caption"] == "dog"
    assert values["curves/PR"]["chart"] == "lineseries"
    assert [one["key"].rpartition("/")[2] for one in place.media() if one["media_type"] == "file"] == ["best.pt"]
    assert place.status() == "finished"


def test_a_callback_like_stable_baselines3s(tmp_path: Path) -> None:
    place = _run("rl_callback_like.py", tmp_path)
    assert [values["rollout/ep_rew_mean"] for _, values in _own(place) if "rollout/ep_rew_mean" in values] == [
        0.0,
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
    ]
    assert len(place.media("files/model.zip")) == 2
    assert place.media("video")[0]["mime"] == "video/mp4"
    assert place.values()["mean_reward"] == 2.5


def test_preference_tuning_with_tables_of_completions(tmp_path: Path) -> None:
    place = _run("rlhf_like.py", tmp_path, errors=("alerts", "Reward collapsed"))
    rows = _own(place)
    assert [step for step, values in rows if "train/reward" in values] == [0, 1, 2]
    tables = [values["completions"] for _, values in rows if "completions" in values]
    assert [len(table["data"]) for table in tables] == [2, 4, 6]
    assert rows[-1][1] == {"train/reward.max": 0.7}
    traces = place.of_type("trace")
    assert [trace["rollout_step"] for trace in traces] == [0, 0, 1, 1, 2, 2]
    assert len({trace["session_id"] for trace in traces}) == 6
    assert not any("system/" in key for _, values in place.rows() for key in values)


def test_ppo_like_cleanrls_logs_by_its_summary_writer(tmp_path: Path) -> None:
    needs_module("torch")
    needs_module("tensorboard")
    place = _run("ppo_like.py", tmp_path, errors=None)
    rows = _own(place)
    returns = [(step, values["charts/episodic_return"]) for step, values in rows if "charts/episodic_return" in values]
    assert returns == [(512, 10.0), (1024, 20.0), (1536, 30.0)]
    values = place.values()
    assert values["hyperparameters"].startswith("|param|value|")
    assert sum(values["weights"]["counts"]) == 10
    assert place.media("frame")[0]["step"] == 1536


def test_hugging_faces_own_trainer_and_callback(tmp_path: Path) -> None:
    for name in ("torch", "transformers", "accelerate"):
        needs_module(name)
    place = _run("hf_trainer.py", tmp_path, errors=None)
    config = place.config()
    assert (config["hidden_size"], config["max_steps"], place.of_type("run")[0]["project"]) == (16, 6, "huggingface")
    values = place.values()
    assert {"train/loss", "eval/loss", "train/global_step", "train_runtime"} <= set(values)
    assert [v["train/global_step"] for _, v in _own(place) if "train/loss" in v] == [2, 4, 6]
    assert place.status() == "finished"


def test_lightnings_own_trainer_and_logger(tmp_path: Path) -> None:
    needs_module("torch")
    needs_module("lightning")
    place = _run("lightning_fit.py", tmp_path, errors=None)
    rows = _own(place)
    assert [values["trainer/global_step"] for _, values in rows if "train/loss" in values] == list(range(8))
    values = place.values()
    assert {"val/loss", "samples", "gradients/layer.weight", "parameters/layer.bias"} <= set(values)
    assert place.media("images")[0]["caption"] == "c"
    assert [one["key"].rpartition("/")[2] for one in place.media() if one["media_type"] == "file"] == ["model.ckpt"] * 2
    assert place.config()["lr"] == 0.1


def test_stable_baselines3_itself_with_the_callback_for_it(tmp_path: Path) -> None:
    needs_module("stable_baselines3")
    needs_module("tensorboard")
    place = _run("sb3_learn.py", tmp_path, errors=None)
    values = place.values()
    assert {"rollout/ep_rew_mean", "train/loss", "gradients/value_net.weight"} <= set(values)
    assert {step for step, v in _own(place) if "rollout/ep_rew_mean" in v} == {64, 128}
    assert place.config()["algo"] == "PPO"
    assert place.media("files/model.zip")


def test_accelerates_own_tracker(tmp_path: Path) -> None:
    needs_module("accelerate")
    needs_module("torch")
    place = _run("accelerate_track.py", tmp_path, errors=None)
    assert _own(place) == [(1, {"loss": 0.5}), (2, {"loss": 0.4})]
    assert len(place.media("img")) == 2


def _summary(tag: str, kind: str, value: object) -> Any:
    one = SimpleNamespace(tag=tag, WhichOneof=lambda _: kind, **{kind: value})
    return SimpleNamespace(value=[one])


def test_summaries_of_tensorboard_are_read() -> None:
    assert tensorboard.values_of(_summary("loss", "simple_value", 0.5)) == {"loss": 0.5}
    text = SimpleNamespace(string_val=[b"a", b"b"], float_val=[], tensor_content=b"")
    assert tensorboard.values_of(_summary("note/text_summary", "tensor", text)) == {"note": "a\nb"}
    number = SimpleNamespace(string_val=[], float_val=[0.25], tensor_content=b"")
    assert tensorboard.values_of(_summary("x", "tensor", number)) == {"x": 0.25}
    histo = SimpleNamespace(min=1.0, max=4.0, bucket=[0, 2, 3, 0], bucket_limit=[0.5, 2.0, 5.0, 9.0])
    made = tensorboard.values_of(_summary("w", "histo", histo))["w"]
    assert (made.counts, made.bins) == ([2, 3], [1.0, 2.0, 4.0])
    assert tensorboard.values_of(SimpleNamespace()) == {}


def test_following_nothing_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "_WRITERS", ("there.is.no.such.module",))
    monkeypatch.setattr(tensorboard.told, "_told", set())
    tensorboard.patch()
    assert "sync_tensorboard" in caplog.text
