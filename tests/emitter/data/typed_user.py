"""A user's program that calls the whole API, to be checked by ``mypy --strict``; it also runs."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from io import BytesIO
from pathlib import Path

from typing import TYPE_CHECKING

import tracehouse as cm
from tracehouse import wandb

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value, kind):
        return value



def clean(text: str) -> str:
    return text.replace("secret", "***")


@cm.traced
def add(a: int, b: int) -> int:
    return a + b


@cm.traced(kind="thinking", name="ponder", capture=False)
async def ponder(text: str) -> str:
    return text.upper()


def chat() -> None:
    run = cm.init(project="demo", session_id="typed", task_name="sums", model="m-1", redact=["keys", re.compile("x+")])
    assert_type(run, cm.Run)
    said = cm.log_user("2 + 2?", attributes={"lang": "en"})
    assert_type(said, cm.Span)
    cm.log_thinking("easy")
    call = cm.log_tool_use("add", {"a": 2, "b": 2})
    cm.log_tool_result("4", tool="add", parent_span_id=call.id, status="ok")
    cm.log_attachment("notes", {"pages": 1}, text="see")
    cm.log_assistant("4", status="ok")
    cm.log(kind="user_msg", name="judge", text="right")
    assert_type(cm.log_messages([{"role": "user", "content": "and 3 + 3?"}]), list[cm.Span])
    with cm.span("assistant_msg") as streamed:
        streamed.write("6")
        streamed.attributes["tokens"] = 1
        streamed.status = "ok"
    with run.span("tool_use", "add", input={"a": 3}, parent_span_id=said.id):
        assert_type(add(3, 3), int)
    assert_type(asyncio.run(ponder("hm")), str)
    call.status = "error"
    run.push_spans([call, cm.Span("id", run.session_id, "thinking", "t", call.start_at)])
    print(call.to_payload()["kind"])
    assert_type(run.trace_id, "str | None")
    assert_type(run.spool_path, str)
    assert_type(cm.current(), cm.Run)
    assert_type(cm.flush(), bool)
    assert_type(cm.finish(outcome="good", metadata={"reward": 1.0}), bool)
    with cm.Run(session_id="other", anonymous=False, redact=clean, spool_dir=Path("spool")) as other:
        assert_type(other, cm.Run)
        other.log_user("hello")


def train() -> None:
    run = cm.init_run(
        project="rl",
        name="ppo",
        config={"lr": 1e-5},
        client_run_id="typed-run",
        hf_dataset="me/sums",
        capture_env=False,
        system_metrics=False,
    )
    assert_type(run, cm.TrainingRun)
    run.log({"loss": 0.5, "text": "x", "nested": {"a": [1, 2]}}, step=0, commit=False)
    run.log({"sample": cm.Image(b"GIF89a...", caption="c"), "more": [cm.Image(b"GIF89a...")]})
    run.log({"sound": cm.Audio(b"fLaC...."), "page": cm.Html("<b>x</b>"), "clip": cm.Video(b"....ftypisom")})
    run.log_image("samples", b"GIF89a...", step=1, caption="c", format="gif")
    run.log_video("clips", b"....ftypisom")
    run.config["lr"] = 2e-5
    run.config.update(batch=8)
    run.summary["best"] = 0.1
    with run.rollout(step=1, name="sum", group="prompt-1", sample=0) as trace:
        assert_type(trace, cm.Run)
        trace.log_user("2 + 2?")
        trace.finish(outcome="good", metadata={"reward": 1.0})
    run.link_dataset("me/sums", split="train")
    run.link_model("me/ppo", revision="main")
    run.add_artifact("grid", data={"seeds": [1, 2]}, kind="json")
    assert_type(run.model_card(), str)
    run.push_model_card(commit_message="ppo")
    assert_type(run.run_id, "str | None")
    cm.run_log({"loss": 0.4}, step=5)
    assert_type(cm.current_run(), cm.TrainingRun)
    worker = cm.attach_run()
    worker.log({"worker": 1})
    assert_type(run.flush(), bool)
    assert_type(cm.run_finish(status="finished"), bool)
    with cm.TrainingRun(mode="disabled") as nothing:
        nothing.log({"loss": 0.5})


def look() -> None:
    for session in cm.read():
        assert_type(session.kind, str)
        for row in session.metrics("loss"):
            row["value"]
        for span in session.spans():
            span["kind"]
        for rollout in session.rollouts():
            assert_type(rollout.outcome, "str | None")


def as_wandb() -> None:
    run = wandb.init(project="demo", config={"lr": 0.1}, tags=["a"], mode="offline")
    assert_type(run, wandb.Run)
    wandb.define_metric("loss", summary="min")
    wandb.log({"loss": 0.5, "eval": {"acc": 0.9}})
    run.log({"h": wandb.Histogram([1, 2, 3]), "t": wandb.Table(columns=["a"], data=[[1]])}, step=4)
    wandb.config.lr = 0.2
    wandb.summary["best"] = 1
    artifact = wandb.Artifact("notes", type="text")
    with artifact.new_file("notes.txt", mode="w") as file:
        file.write("it works")
    assert_type(wandb.log_artifact(artifact), wandb.Artifact)
    wandb.alert("low", level=wandb.AlertLevel.WARN)
    assert_type(run.step, int)
    assert_type(run.url, "str | None")
    assert_type(wandb.run, "wandb.Run | None")
    wandb.finish()


def more_of_wandb(model: object) -> None:
    wandb.login()
    wandb.setup()
    wandb.require("core")
    with wandb.init(settings=wandb.Settings(project="demo"), mode=wandb.ONLINE) as run:
        print(wandb.OFFLINE, wandb.DISABLED, len(wandb.util.generate_id()))
        wandb.watch(model)
        wandb.unwatch()
        wandb.tensorboard.patch()
        classes = wandb.Classes([{"id": 1, "name": "cat"}])
        run.log({"i": wandb.Image(b"GIF89a...", classes=classes), "v": wandb.Video(b"....ftypisom")})
        run.log({"a": wandb.Audio([0.0, 0.5], sample_rate=8000), "p": wandb.Html("<b>x</b>")})
        run.log({"o": wandb.Object3D([[0.0, 0.0, 0.0]]), "m": wandb.Molecule(BytesIO(b"HETATM"))})
        table = wandb.data_types.Table(columns=["a", "b"], data=[["x", 1]])
        run.log({"c": wandb.plot.bar(table, "a", "b"), "d": wandb.plot_table("me/bars", table, {"label": "a"})})
        Path("notes.txt").write_text("it works")
        wandb.save("notes.txt")
        wandb.use_artifact("me/demo/grid:v3", type="dataset")
        wandb.log_model("notes.txt", name="tiny")
        assert_type(wandb.use_model("tiny"), str)
        wandb.link_model("me/ppo")
        wandb.mark_preempting()
        try:
            wandb.restore("nothing.pt")
        except wandb.CommError as error:
            wandb.termlog(error.message)
        wandb.termwarn("w")
        wandb.termerror("e")
    wandb.teardown()
    try:
        wandb.log({"loss": 0.5})
    except (wandb.UsageError, wandb.errors.Error, wandb.ApiError, wandb.ClaudeMonitorError) as error:
        print(error)
    for call in (wandb.Api, wandb.PublicApi, wandb.sweep, wandb.agent, wandb.controller):
        try:
            call()
        except wandb.UnsupportedError as error:
            assert isinstance(error, wandb.Error)


def figures(figure: object) -> None:
    wandb.log({"curve": wandb.Plotly(figure)})


def mistakes() -> None:
    """Never called: what a type checker is to find."""
    cm.init(projet="demo")  # type: ignore[call-arg]
    cm.init_run(config=7)  # type: ignore[arg-type]
    cm.log_user("hi", atributes={})  # type: ignore[call-arg]
    cm.log_tool_use("add", "2, 2")  # type: ignore[arg-type]
    cm.finish(outcom="good")  # type: ignore[call-arg]
    cm.run_log({"loss": 0.5}, stepp=3)  # type: ignore[call-arg]
    cm.current().finish(outcome=1)  # type: ignore[arg-type]


def errors() -> None:
    try:
        cm.Image("missing.png")
    except cm.MediaUnreadable as error:
        assert_type(error.filename, str)
    try:
        cm.init(api_key="wrong")
    except cm.ArgumentError as error:
        print(error, file=sys.stderr)
    try:
        cm.read("/nowhere")
    except cm.SpoolError as error:
        assert_type(error.hint, str)
    for kind in (cm.ApiError, cm.MediaError, cm.MediaTooLarge, cm.NotActiveError, cm.SpoolFormatError):
        assert issubclass(kind, cm.TracehouseError)
        assert issubclass(kind, cm.ClaudeMonitorError)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    chat()
    train()
    look()
    as_wandb()
    more_of_wandb(None)
    errors()
    print(cm.__version__)
