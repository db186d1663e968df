"""The wandb-shaped door: files, artifacts, and modules that are watched."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse.wandb as wandb
from tests.support import jobs
from tests.support.lanes import needs_module
from tests.support.wandb import Place, place
from tracehouse import mediafile
from tracehouse.exceptions import ArgumentError
from tracehouse.wandb import keeping


@pytest.fixture(name="here")
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for found in place(tmp_path, monkeypatch):
        found.begin(id="r")
        yield found


def test_an_artifact_keeps_its_files(here: Place, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "notes.txt").write_text("read me")
    (folder / "sub" / "facts.json").write_text('{"a": [1, 2]}')
    weights = tmp_path / "w.bin"
    weights.write_bytes(bytes(range(256)))
    artifact = wandb.Artifact("model", type="model", description="D", metadata={"acc": 0.9})
    artifact.add_dir(str(folder))
    artifact.add_file(str(weights), name="weights/w.bin")
    artifact.add_reference("s3://bucket/x", name="x")
    artifact.add(wandb.Table(columns=["a"], data=[[1]]), "table")
    with artifact.new_file("made.txt", mode="w") as file:
        file.write("made")
    logged = wandb.log_artifact(artifact, aliases=["best"])
    assert logged.wait() is artifact
    assert (artifact.version, artifact.aliases) == ("v0", ["best"])
    kept = here.artifacts()
    assert (kept["model/notes.txt"], kept["model/sub/facts.json"], kept["model/made.txt"]) == (
        "read me",
        {"a": [1, 2]},
        "made",
    )
    assert here.file("model/weights/w.bin") == bytes(range(256))
    assert here.media("model/weights/w.bin")[0]["media_type"] == "file"
    assert here.values()["model/table"]["_type"] == "table"
    listed = kept["artifact/model"]
    assert {key: listed[key] for key in ("name", "type", "version", "aliases", "description", "metadata")} == {
        "name": "model", "type": "model", "version": "v0", "aliases": ["best"], "description": "D", "metadata": {"acc": 0.9},
    }  # fmt: skip
    assert [one["path"] for one in listed["files"]] == [
        "model/notes.txt", "model/sub/facts.json", "model/weights/w.bin", "model/made.txt",
    ]  # fmt: skip
    assert listed["references"] == [{"uri": "s3://bucket/x", "name": "x"}]


def test_a_path_alone_is_an_artifact_and_versions_count(here: Place, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for n in range(2):
        path.write_text(str(n))
        assert wandb.run.log_artifact(str(path), name="text", type="notes").version == f"v{n}"
    assert wandb.run.log_model(str(path), name="m").type == "model"


def test_a_file_over_the_limit_is_named_and_said(
    here: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mediafile, "MAX_BYTES", 1000)
    big = tmp_path / "big.bin"
    big.write_bytes(b"\0" * 2000)
    wandb.log_artifact(str(big), name="big", type="model")
    [fact] = here.artifacts()["artifact/big"]["files"]
    assert (fact["kept"], fact["size"]) == (False, 2000)
    assert "big/big.bin" in caplog.text
    assert "at most" in caplog.text


def test_what_was_logged_here_can_be_had_back_and_nothing_else(
    here: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    wandb.log_artifact(str(path), name="mine", type="t")
    directory = wandb.use_artifact("entity/p/mine:latest").download(str(tmp_path / "out"))
    assert (Path(directory) / "a.txt").read_text() == "x"
    theirs = wandb.use_artifact("theirs:v3", type="dataset")
    assert "theirs:v3" in caplog.text
    with pytest.raises(wandb.CommError, match="uses no network"):
        theirs.download()
    assert here.artifacts()["artifact-use/theirs:v3"]["type"] == "dataset"
    with pytest.raises(ArgumentError, match="no such file"):
        wandb.Artifact("a", "t").add_file("nope")


def test_links_are_recorded_and_models_of_hugging_face_linked(here: Place, tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    path.write_text("m")
    run = wandb.run
    run.link_dataset("a/b", split="train")
    run.link_model("a/c", revision="v1")
    run.link_model(str(path), registered_model_name="registered")
    run.link_artifact(wandb.Artifact("l", "t"), "portfolio/x")
    patches = here.of_type("run_patch")
    assert patches == [
        {"hf_dataset": "a/b", "hf_dataset_split": "train"},
        {"hf_model": "a/c", "hf_model_revision": "v1"},
    ]
    assert {"artifact/registered", "artifact/l", "artifact-link/l"} <= set(here.artifacts())


def test_saved_files_are_kept_now_and_again_if_they_change(here: Place, tmp_path: Path) -> None:
    live, now, end, still = (tmp_path / name for name in ("live.txt", "now.txt", "end.txt", "still.txt"))
    for path in (live, now, end, still):
        path.write_text("early")
    assert wandb.save("*.txt", policy="now") == ["end.txt", "live.txt", "now.txt", "still.txt"]
    wandb.save("still.txt")
    wandb.save(str(live), base_path=str(tmp_path))
    wandb.save("end.txt", policy="end")
    for path in (live, now, end):
        path.write_text("later!")
    wandb.finish()
    kept = [(one["name"], one["data"]) for one in here.of_type("artifact")]
    assert kept == [
        ("files/end.txt", "early"), ("files/live.txt", "early"), ("files/now.txt", "early"), ("files/still.txt", "early"),
        ("files/live.txt", "later!"), ("files/end.txt", "later!"),
    ]  # fmt: skip


def test_a_missing_file_is_said(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    assert wandb.save("nothing*.txt") == []
    assert "nothing*.txt" in caplog.text
    assert wandb.save() is False


def test_what_lies_in_the_runs_directory_is_kept_at_the_end(here: Place, tmp_path: Path) -> None:
    directory = Path(wandb.run.dir)
    assert directory.is_relative_to(tmp_path / "wandb")
    (directory / "model.bin").write_bytes(bytes(10) + b"\xff")
    assert wandb.restore.__doc__
    (directory / "out.txt").write_text("text")
    with wandb.restore("out.txt") as file:
        assert file.read() == "text"
    with pytest.raises(wandb.CommError, match="fetches no files"):
        wandb.restore("weights.h5", run_path="e/p/x")
    wandb.finish()
    assert here.file("files/model.bin") == bytes(10) + b"\xff"
    assert here.artifacts()["files/out.txt"] == "text"


def test_the_directory_can_be_chosen_and_is_made_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for here in place(tmp_path, monkeypatch):
        run = here.begin(dir=tmp_path / "elsewhere")
        assert not (tmp_path / "elsewhere").exists()
        assert Path(run.dir).is_relative_to(tmp_path / "elsewhere" / "wandb")


def test_only_what_reads_as_text_is_an_artifact(here: Place, tmp_path: Path) -> None:
    for name, data in {
        "a.json": b"{broken",
        "b.txt": b"\xff\xfe",
        "c.md": b"# x",
        "d.png": b"x",
        "e.yaml": b"a: 1",
    }.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "long.txt").write_bytes(b"x" * (keeping.SMALL + 1))
    wandb.save("*.*", policy="now")
    assert {name: one for name, one in here.artifacts().items() if name != "environment"} == {
        "files/a.json": "{broken", "files/c.md": "# x", "files/e.yaml": "a: 1",
    }  # fmt: skip
    assert [one["key"] for one in here.media()] == ["files/b.txt", "files/d.png", "files/long.txt"]


class _Parameter:
    """What of a torch parameter is used: hooks that get each gradient."""

    requires_grad = True

    def __init__(self, values: list[float]) -> None:
        self.values = values
        self.hooks: list[Any] = []

    def __iter__(self) -> Iterator[float]:
        return iter(self.values)

    def register_hook(self, hook: Any) -> Any:
        self.hooks.append(hook)
        return type("Handle", (), {"remove": lambda _: self.hooks.remove(hook)})()


class _Module:
    def __init__(self) -> None:
        self.weight = _Parameter([1.0, 2.0])

    def named_parameters(self) -> list[tuple[str, Any]]:
        return [("layer.weight", self.weight)]


def test_watching_logs_at_each_so_many_gradients(here: Place) -> None:
    module = _Module()
    wandb.watch(module, log="all", log_freq=2)
    [hook] = module.weight.hooks
    for n in range(4):
        assert hook([0.5 * n, 1.0]) is None
        wandb.log({"loss": n})
    assert [(step, *values) for step, values in here.rows()] == [
        (0, "loss"), (1, "gradients/layer.weight", "parameters/layer.weight"), (1, "loss"), (2, "loss"),
        (3, "gradients/layer.weight", "parameters/layer.weight"), (3, "loss"),
    ]  # fmt: skip
    assert sum(here.values()["gradients/layer.weight"]["counts"]) == 2
    wandb.unwatch(module)
    assert module.weight.hooks == []


def test_a_copy_of_a_watched_module_logs_nothing(here: Place) -> None:
    module = _Module()
    wandb.watch(module, log_freq=1)
    [hook] = module.weight.hooks
    copy.deepcopy(hook)([1.0])
    pickle.loads(pickle.dumps(hook))([1.0])
    assert here.rows() == []


def test_what_cannot_be_watched_is_said(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    wandb.watch(object())
    assert "only torch modules" in caplog.text
    with pytest.raises(ArgumentError, match="log must be one of"):
        wandb.watch(_Module(), log="everything")


def test_a_torch_module_can_be_watched_trained_and_copied(here: Place) -> None:
    needs_module("torch")
    import torch

    module = torch.nn.Linear(3, 2)
    wandb.watch(module, log="all", log_freq=1)
    module(torch.ones(4, 3)).sum().backward()
    wandb.log({"loss": torch.tensor(0.5), "batch": wandb.Image(torch.rand(4, 3, 8, 8))})
    values = here.values()
    assert sum(values["gradients/weight"]["counts"]) == 6
    assert sum(values["parameters/bias"]["counts"]) == 2
    assert values["loss"] == 0.5
    copied = copy.deepcopy(module)
    copied(torch.ones(1, 3)).sum().backward()
    assert len(here.rows()) == 3


def test_a_job_that_saves_and_dies_has_its_files(tmp_path: Path) -> None:
    job = jobs.run(
        """
        import signal, tracehouse.wandb as wandb
        wandb.init(capture_env=False, system_metrics=False)
        open(sys.argv[1], "wb").write(bytes(9))
        wandb.save(sys.argv[1])
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path / "spool",
        str(tmp_path / "w.bin"),
    )
    assert job.code == -9
    session = jobs.only_session(tmp_path / "spool")
    [media] = jobs.of_type(session, "media")
    assert (session / "media" / media["file"]).read_bytes() == bytes(9)
