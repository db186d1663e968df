"""What the published SDK's page and its users rely on, as a table: behaviour → check.

The weaknesses of the published SDK are not in it, since they are not to be had here; `tests/e2e/intended.py` names them.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

import tracehouse as cm
from tests.support import jobs
from tracehouse import defaults

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20
QUIET: dict[str, Any] = {"capture_env": False, "system_metrics": False}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(autouse=True)
def _spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRACEHOUSE_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr(defaults, "_run", None)
    monkeypatch.setattr(defaults, "_training_run", None)
    yield
    jobs.close_all()


NAMES = [
    *("ApiError", "ClaudeMonitorError", "Run", "Span", "TrainingRun", "Image", "Video", "init", "init_run", "current"),
    *("log_user", "log_assistant", "log_tool_use", "log_tool_result", "log_thinking", "log_attachment", "log"),
    *("finish", "run_log", "run_finish", "current_run"),
]

_RUN = (
    "*, api_key=None, api_base=None, project=None, session_id=None, scaffold=None, task_name=None, model=None, "
    "machine_id=None, hostname=None, agent_version=None, run_id=None, rollout_step=None, transport=None, auto_create=True"
)
_TRAINING_RUN = (
    "*, project=None, name=None, config=None, client_run_id=None, hf_dataset=None, hf_dataset_split=None, hf_model=None, "
    "hf_model_revision=None, api_key=None, api_base=None, machine_id=None, hostname=None, agent_version=None, "
    "transport=None, auto_create=True, auto_finish=True, flush_threshold=500, capture_env=True, system_metrics=True, "
    "system_metrics_interval=15.0"
)
_MORE = "*, attributes=None, parent_span_id=None, status=None"
_LOG = "*, kind, name, text=None, attributes=None, parent_span_id=None, status=None"
_MEDIUM = "key, data, *, caption=None, step=None, format=None"

SIGNATURES: dict[str, str] = {
    "Run": _RUN,
    "Run.log": f"self, {_LOG}",
    "Run.log_user": f"self, text, {_MORE}",
    "Run.log_assistant": f"self, text, {_MORE}",
    "Run.log_thinking": f"self, text, {_MORE}",
    "Run.log_tool_use": "self, tool, input=None, *, parent_span_id=None, status=None",
    "Run.log_tool_result": "self, text, *, tool='tool_result', parent_span_id=None, status=None",
    "Run.log_attachment": "self, name, attributes=None, *, text=None, parent_span_id=None, status=None",
    "Run.push_spans": "self, spans",
    "Run.finish": "self, *, outcome=None, metadata=None, task_name=None, model=None, scaffold=None",
    "Span": "id, session_id, kind, name, start_at, end_at=None, parent_span_id=None, attributes=None, status=None",
    "Span.to_payload": "self",
    "TrainingRun": _TRAINING_RUN,
    "TrainingRun.log": "self, values, *, step=None, wall_time=None, commit=True",
    "TrainingRun.flush": "self",
    "TrainingRun.log_image": f"self, {_MEDIUM}",
    "TrainingRun.log_video": f"self, {_MEDIUM}",
    "TrainingRun.rollout": "self, *, step=None, name=None, session_id=None, model=None, scaffold=None, auto_create=True",
    "TrainingRun.link_dataset": "self, hf_slug, *, split=None",
    "TrainingRun.link_model": "self, hf_repo, *, revision=None",
    "TrainingRun.add_artifact": "self, name, *, data, kind='json'",
    "TrainingRun.model_card": "self",
    "TrainingRun.push_model_card": "self, *, commit_message=None",
    "TrainingRun.finish": "self, *, status='finished'",
    "Image": "data, *, caption=None, format=None",
    "Video": "data, *, caption=None, format=None",
    "ApiError": "status, message",
    "init": "**kwargs",
    "current": "",
    "log": "**kwargs",
    "log_user": "text, **kwargs",
    "log_assistant": "text, **kwargs",
    "log_thinking": "text, **kwargs",
    "log_tool_use": "tool, input=None, **kwargs",
    "log_tool_result": "text, **kwargs",
    "log_attachment": "name, attributes=None, **kwargs",
    "finish": "**kwargs",
    "init_run": "**kwargs",
    "current_run": "",
    "run_log": "values, **kwargs",
    "run_finish": "**kwargs",
}


@pytest.mark.parametrize("name", NAMES)
def test_published_name_is_here(name: str) -> None:
    assert name in cm.__all__
    assert hasattr(cm, name)


@pytest.mark.parametrize("name,published", SIGNATURES.items(), ids=list(SIGNATURES))
def test_published_arguments_are_taken_as_they_were(name: str, published: str) -> None:
    found: Any = cm
    for part in name.split("."):
        found = getattr(found, part)
    ours = inspect.signature(found).parameters
    wanted = inspect.signature(eval(f"lambda {published}: None")).parameters  # noqa: S307 - from the table above
    for argument in wanted.values():
        assert ours[argument.name].kind == argument.kind, argument
        assert ours[argument.name].default == argument.default, argument
    positional = [one.name for one in ours.values() if one.kind is not one.KEYWORD_ONLY]
    assert positional[: len(wanted)] == [one.name for one in wanted.values() if one.kind is not one.KEYWORD_ONLY]


def test_published_classes_keep_their_values() -> None:
    assert cm.Image.media_type == "image"
    assert cm.Video.media_type == "video"
    assert issubclass(cm.ApiError, cm.ClaudeMonitorError)
    error = cm.ApiError(404, "m")
    assert (error.status, error.message, error.args, str(error)) == (404, "m", ("404: m",), "404: m")


_KINDS = "('user_msg', 'assistant_msg', 'tool_use', 'tool_result', 'thinking', 'attachment')"
_KEY = "api_key should start with 'ba_' — did you paste a session token by mistake?"
_NO_RUN = "no active run — call tracehouse.init() first"
_NO_TRAINING_RUN = "no active training run — call tracehouse.init_run() first"
_STATUSES = "('running', 'finished', 'failed', 'crashed', 'killed')"


def _unmade() -> cm.TrainingRun:
    return cm.TrainingRun(auto_create=False, **QUIET)


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "log_user before init": (lambda: cm.log_user("x"), _NO_RUN),
    "log before init": (lambda: cm.log(kind="user_msg", name="n"), _NO_RUN),
    "current before init": (cm.current, _NO_RUN),
    "run_log before init_run": (lambda: cm.run_log({"x": 1}), _NO_TRAINING_RUN),
    "current_run before init_run": (cm.current_run, _NO_TRAINING_RUN),
    "kind": (lambda: cm.Run().log(kind="x", name="n"), f"kind must be one of {_KINDS}, got 'x'"),
    "outcome": (
        lambda: cm.Run().finish(outcome="meh"),
        "outcome must be one of ('good', 'bad', 'neutral'), got 'meh'",
    ),
    "status": (
        lambda: cm.TrainingRun(**QUIET).finish(status="bogus"),
        f"status must be one of {_STATUSES}, got 'bogus'",
    ),
    "artifact kind": (
        lambda: cm.TrainingRun(**QUIET).add_artifact("x", data=1, kind="bogus"),
        "kind must be one of ('json', 'text', 'params'), got 'bogus'",
    ),
    "api_key of a trace": (lambda: cm.Run(api_key="sk-1"), _KEY),
    "api_key of a run": (lambda: cm.TrainingRun(api_key="sk-1"), _KEY),
    "log to a run that was not created": (lambda: _unmade().log({"x": 1}), "run is not active"),
    "log_image to a run that was not created": (lambda: _unmade().log_image("k", PNG), "run is not active"),
    "finish of a run that was not created": (lambda: _unmade().finish(), "run is not active"),
    "rollout of a run that was not created": (lambda: _unmade().rollout(step=0), "run was not created — no run_id"),
    "outcome of a trace that was not created": (
        lambda: cm.Run(auto_create=False).finish(outcome="good"),
        "run was not created — no trace_id",
    ),
}


@pytest.mark.parametrize("what", ERRORS)
def test_published_error_has_its_class_and_text(what: str) -> None:
    call, text = ERRORS[what]
    with pytest.raises(cm.ClaudeMonitorError) as caught:
        call()
    assert str(caught.value) == text


TYPE_ERRORS: dict[str, Callable[[], Any]] = {
    "a positional argument of Run": lambda: cm.Run("x"),  # type: ignore[call-arg]
    "an unknown argument of init": lambda: cm.init(sesion_id="x"),
    "an unknown argument of init_run": lambda: cm.init_run(nme="x"),
    "a positional argument of finish": lambda: cm.Run().finish("good"),  # type: ignore[call-arg]
    "an unknown argument of log_user": lambda: cm.Run().log_user("x", role="y"),  # type: ignore[call-arg]
    "attributes of log_tool_use": lambda: cm.Run().log_tool_use("t", {}, attributes={}),  # type: ignore[call-arg]
    "project of rollout": lambda: cm.TrainingRun(**QUIET).rollout(project="p"),  # type: ignore[call-arg]
    "an image of nothing known": lambda: cm.Image(object()),
    "a video of nothing known": lambda: cm.Video(12),
    "an image's file that is missing": lambda: cm.TrainingRun(**QUIET).log_image("k", "missing.png"),
}


@pytest.mark.parametrize("what", TYPE_ERRORS)
def test_published_type_error_is_one(what: str) -> None:
    with pytest.raises(TypeError):
        TYPE_ERRORS[what]()


Behaviour = Callable[[Path], None]
BEHAVIOURS: dict[str, Behaviour] = {}


def _behaviour(what: str) -> Callable[[Behaviour], Behaviour]:
    def keep(check: Behaviour) -> Behaviour:
        assert what not in BEHAVIOURS
        BEHAVIOURS[what] = check
        return check

    return keep


def _of(spool: Path, *types: str) -> list[dict[str, Any]]:
    return jobs.of_type(jobs.only_session(spool), *types)


def _steps(spool: Path) -> list[int]:
    return [one["step"] for one in _of(spool, "metrics")]


def _run(**more: Any) -> cm.TrainingRun:
    return cm.TrainingRun(**{**QUIET, **more})


@_behaviour("init makes the module's run, and returns it")
def _(spool: Path) -> None:
    run = cm.init(session_id="s")
    assert type(run) is cm.Run
    assert cm.current() is run


@_behaviour("session_id is py-<uuid4>, scaffold python-sdk, and the rest None by default")
def _(spool: Path) -> None:
    run = cm.Run()
    assert run.session_id.startswith("py-")
    assert UUID.fullmatch(run.session_id[3:])
    assert run.scaffold == "python-sdk"
    assert [run.project, run.task_name, run.model, run.run_id, run.rollout_step, run.trace_id] == [None] * 6


@_behaviour("machine_id is <node>-<system> in lower case, hostname the node")
def _(spool: Path) -> None:
    run, node = cm.Run(), os.uname()
    assert run.machine_id == f"{node.nodename}-{node.sysname}".lower()
    assert run.hostname == node.nodename


@_behaviour("an empty session_id, scaffold, machine_id or hostname means the default")
def _(spool: Path) -> None:
    run, plain = cm.Run(session_id="", scaffold="", machine_id="", hostname=""), cm.Run()
    assert run.session_id.startswith("py-")
    assert (run.scaffold, run.machine_id, run.hostname) == (plain.scaffold, plain.machine_id, plain.hostname)


@_behaviour("names need not be texts, nor short: they become texts, and are kept whole")
def _(spool: Path) -> None:
    cm.Run(session_id="s", project=7, task_name="x" * 100_000)  # type: ignore[arg-type]
    [trace] = _of(spool, "trace")
    assert (trace["project"], len(trace["task_name"])) == ("7", 100_000)
    run = _run(project=7, name=8)
    assert [(one["project"], one["name"]) for one in jobs.of_type(Path(run.spool_path), "run")] == [("7", "8")]


@_behaviour("a trace is told with what it was given, in order, and what is None left out")
def _(spool: Path) -> None:
    cm.Run(session_id="s", project="", model="m", run_id="server-run", rollout_step=0)
    [trace] = _of(spool, "trace")
    assert list(trace) == ["session_id", "project", "scaffold", "model", "run_id", "rollout_step", "started_at"]
    assert TIME.fullmatch(trace["started_at"])


@_behaviour("each log call is a span with a uuid4, both times, and returns it")
def _(spool: Path) -> None:
    said = cm.Run(session_id="s").log_user("hello")
    [span] = _of(spool, "span")
    assert said.to_payload() == span
    assert UUID.fullmatch(span["id"])
    assert TIME.fullmatch(span["start_at"])
    assert TIME.fullmatch(span["end_at"])
    assert list(span) == ["id", "session_id", "kind", "name", "start_at", "attributes", "end_at"]


@_behaviour("text is not put over text or result_text among the attributes")
def _(spool: Path) -> None:
    run = cm.Run(session_id="s")
    for attributes in ({"text": "kept"}, {"result_text": "kept"}):
        assert run.log(kind="tool_result", name="n", text="dropped", attributes=attributes).attributes == attributes
    assert run.log(kind="tool_result", name="n", text="T").attributes == {"text": "T"}


@_behaviour("texts are taken as they are: None is no text, an empty one is one, others are kept")
def _(spool: Path) -> None:
    run = cm.Run(session_id="s")
    texts: list[Any] = [None, "", 5, {"a": 1}]
    found = [run.log_user(text).attributes for text in texts]
    assert found == [{}, {"text": ""}, {"text": 5}, {"text": {"a": 1}}]


@_behaviour("a span has a status where one is given, and a name may be empty")
def _(spool: Path) -> None:
    span = cm.Run(session_id="s").log(kind="thinking", name="", status="error")
    assert (span.name, span.status) == ("", "error")


@_behaviour("the caller's attributes are left alone")
def _(spool: Path) -> None:
    given = {"extra": 1}
    cm.Run(session_id="s").log_user("x", attributes=given)
    assert given == {"extra": 1}


@_behaviour("finish with nothing to say says nothing, and a clean with neither")
def _(spool: Path) -> None:
    with cm.Run(session_id="s") as run:
        run.log_user("x")
    run.finish()
    assert _of(spool, "trace_patch") == []


@_behaviour("finish tells what it was given once; an empty metadata counts")
def _(spool: Path) -> None:
    run = cm.Run(session_id="s")
    run.finish(outcome="neutral", metadata={})
    run.finish(outcome="bad")
    assert _of(spool, "trace_patch") == [{"session_id": "s", "outcome": "neutral", "metadata": {}}]


@_behaviour("a refused outcome leaves the run open")
def _(spool: Path) -> None:
    cm.init(session_id="s")
    with pytest.raises(cm.ClaudeMonitorError):
        cm.finish(outcome="meh")
    cm.log_user("still open")
    cm.finish(outcome="good")
    assert [one["outcome"] for one in _of(spool, "trace_patch")] == ["good"]


@_behaviour("finish of the module clears its run; finish of the run does not; without a run it does nothing")
def _(spool: Path) -> None:
    cm.finish(outcome="good")
    cm.run_finish()
    run = cm.init(session_id="s")
    run.finish()
    assert cm.current() is run
    cm.finish()
    with pytest.raises(cm.ClaudeMonitorError):
        cm.current()


@_behaviour("with lets the exception through, tells outcome bad and the error, and leaves the module's run alone")
def _(spool: Path) -> None:
    run = cm.init(session_id="s")
    with pytest.raises(ValueError, match="bad thing"), run:
        raise ValueError("bad thing")
    [patch] = _of(spool, "trace_patch")
    assert patch == {"session_id": "s", "outcome": "bad", "metadata": {"error": "ValueError: bad thing"}}
    assert cm.current() is run


@_behaviour("finish inside with is the last word, whatever comes after")
def _(spool: Path) -> None:
    with contextlib.suppress(ValueError), cm.Run(session_id="s") as run:
        run.finish(outcome="good")
        raise ValueError("late")
    assert [one.get("outcome") for one in _of(spool, "trace_patch")] == ["good"]


@_behaviour("a run is named run-<8 hex> and py-<uuid4> by default; config is a copy, and left out when empty")
def _(spool: Path) -> None:
    given: dict[str, Any] = {}
    run = _run(config=given, name="", client_run_id="")
    assert re.fullmatch(r"run-[0-9a-f]{8}", run.name)
    assert UUID.fullmatch(run.client_run_id[3:])
    assert run.config == {}
    assert run.config is not given
    assert list(_of(spool, "run")[0]) == ["name", "client_run_id", "started_at"]


@_behaviour("automatic steps begin at 0 and go on after the highest given; lower and negative ones do not move them")
def _(spool: Path) -> None:
    run = _run()
    for step in (None, 10, None, 3, -1, 20.9, None, True, None):
        run.log({"x": 1}, step=step)
    assert _steps(spool) == [0, 10, 11, 3, -1, 20, 21, 1, 22]


@_behaviour("nothing to log takes no step, even with one given")
def _(spool: Path) -> None:
    run = _run()
    run.log({})
    run.log({}, step=40)
    run.log({"x": 1})
    assert _steps(spool) == [0]


@_behaviour("commit=False takes a step of its own each time")
def _(spool: Path) -> None:
    run = _run()
    run.log({"a": 1}, commit=False)
    run.log({"b": 1}, commit=False)
    run.log({"c": 1}, step=100, commit=False)
    run.log({"d": 1})
    assert _steps(spool) == [0, 1, 100, 101]


@_behaviour("a log call's values have one time, in microseconds of UTC, or the one given verbatim")
def _(spool: Path) -> None:
    run = _run()
    run.log({"a": 1, "b": 2})
    run.log({"a": 1}, wall_time="w")
    first, second = _of(spool, "metrics")
    assert TIME.fullmatch(first["wall_time"])
    assert second["wall_time"] == "w"


@_behaviour("numbers, bools, texts, None, lists and nested objects are logged as they are")
def _(spool: Path) -> None:
    values = {"i": 1, "f": 0.5, "b": True, "s": "x", "n": None, "l": [1, [2]], "d": {"a": {"b": 1}}}
    _run().log(values)
    assert _of(spool, "metrics")[0]["values"] == values


@_behaviour("rollout takes the counter without advancing it, and a step given to it does not either")
def _(spool: Path) -> None:
    run = _run()
    run.log({"x": 1})
    assert [run.rollout().rollout_step, run.rollout(step=50).rollout_step, run.rollout().rollout_step] == [1, 50, 1]
    run.log({"x": 1})
    assert _steps(spool) == [0, 1]


@_behaviour("a rollout is a Run of the run's project and identity; name is its task_name")
def _(spool: Path) -> None:
    run = _run(project="p", machine_id="m", hostname="h")
    rollout = run.rollout(step=3)
    assert type(rollout) is cm.Run
    assert (rollout.project, rollout.machine_id, rollout.hostname) == ("p", "m", "h")
    assert (rollout.task_name, rollout.scaffold) == ("rollout step 3", "python-sdk")
    assert run.rollout(name="n", session_id="s", model="m").task_name == "n"


@_behaviour("a rollout is not the module's run")
def _(spool: Path) -> None:
    _run().rollout(step=0)
    with pytest.raises(cm.ClaudeMonitorError):
        cm.current()


@_behaviour("log_image and log_video bear the step given, or none, and leave the counter alone")
def _(spool: Path) -> None:
    run = _run()
    run.log_image("k", PNG)
    run.log_image("k", PNG, step=7)
    run.log_video("v", b"video", step=7.9, caption="")
    run.log({"x": 1})
    media = _of(spool, "media")
    assert [(one["media_type"], one.get("step"), one["mime"]) for one in media] == [
        ("image", None, "image/png"),
        ("image", 7, "image/png"),
        ("video", 7, "video/mp4"),
    ]
    assert "caption" not in media[2]
    assert _steps(spool) == [0]


@_behaviour("media among the values of log bear its step; media alone take one")
def _(spool: Path) -> None:
    run = _run()
    run.log({"only": cm.Image(PNG, caption="c")})
    run.log({"x": 1, "both": cm.Image(PNG)})
    assert [(one["key"], one["step"]) for one in _of(spool, "media")] == [("only", 0), ("both", 1)]
    assert [one["values"] for one in _of(spool, "metrics")] == [{"x": 1}]


@_behaviour("media are told by suffix for paths, by content for images, else image/png and video/mp4")
def _(spool: Path) -> None:
    for name in ("a.PNG", "a.jpg", "a.jpeg", "a.gif", "a.webp", "a.svg", "a.mov", "a.webm", "a.mkv"):
        (spool / name).write_bytes(b"x")
    images = [cm.Image(str(spool / f"a.{end}")).mime for end in ("PNG", "jpg", "jpeg", "gif", "webp", "svg")]
    assert images == ["image/png", "image/jpeg", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"]
    videos = [cm.Video(spool / f"a.{end}").mime for end in ("mov", "webm", "mkv")]
    assert videos == ["video/quicktime", "video/webm", "video/x-matroska"]
    sniffed = [cm.Image(data).mime for data in (b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\x00\x00\x00\x00WEBP", b"?")]
    assert sniffed == ["image/jpeg", "image/gif", "image/webp", "image/png"]


@_behaviour("an image holds its bytes, mime and caption")
def _(spool: Path) -> None:
    image = cm.Image(bytearray(PNG), caption="c")
    assert (image.bytes, image.mime, image.caption) == (PNG, "image/png", "c")


@_behaviour("links are told at once and kept on the run; a split or revision left out does not clear the older")
def _(spool: Path) -> None:
    run = _run()
    run.link_dataset("a/b", split="s")
    run.link_dataset("a/c")
    run.link_model("m/m", revision="r")
    assert (run.hf_dataset, run.hf_dataset_split, run.hf_model, run.hf_model_revision) == ("a/c", "s", "m/m", "r")
    assert _of(spool, "run_patch") == [
        {"hf_dataset": "a/b", "hf_dataset_split": "s"},
        {"hf_dataset": "a/c"},
        {"hf_model": "m/m", "hf_model_revision": "r"},
    ]


@_behaviour("an artifact has a name, a kind and its data")
def _(spool: Path) -> None:
    run = _run()
    run.add_artifact("x", data={"a": 1})
    run.add_artifact("y", data="txt", kind="text")
    assert _of(spool, "artifact") == [
        {"name": "x", "kind": "json", "data": {"a": 1}},
        {"name": "y", "kind": "text", "data": "txt"},
    ]


@_behaviour("model_card is a text, push_model_card a dict, and all else returns None")
def _(spool: Path) -> None:
    run = _run()
    assert isinstance(run.model_card(), str)
    assert isinstance(run.push_model_card(commit_message="m"), dict)
    calls: list[Callable[[], Any]] = [
        lambda: run.log({"x": 1}),
        lambda: run.log_image("k", PNG),
        lambda: run.log_video("k", b"v"),
        lambda: run.link_dataset("a/b"),
        lambda: run.link_model("a/b"),
        lambda: run.add_artifact("x", data=1),
    ]
    assert {call() for call in calls} == {None}


@_behaviour("finish tells status and end once; with tells crashed when it is left by an exception")
def _(spool: Path) -> None:
    with pytest.raises(KeyError), _run() as run:
        raise KeyError("x")
    run.finish(status="finished")
    assert [one["status"] for one in _of(spool, "run_patch")] == ["crashed"]
    assert TIME.fullmatch(_of(spool, "run_patch")[0]["ended_at"])


@_behaviour("a second init_run ends the first as killed, and a second init ends the first without an outcome")
def _(spool: Path) -> None:
    first = cm.init_run(**QUIET)
    second = cm.init_run(**QUIET)
    assert cm.current_run() is second
    assert [one["status"] for one in jobs.of_type(Path(first.spool_path), "run_patch")] == ["killed"]
    trace = cm.init(session_id="first")
    cm.init(session_id="second")
    assert jobs.of_type(Path(trace.spool_path), "trace_patch") == []


@_behaviour("what is logged after finish still goes out")
def _(spool: Path) -> None:
    run = _run(client_run_id="r")
    run.finish()
    run.log({"late": 1})
    assert [one["values"] for one in _of(spool, "metrics")] == [{"late": 1}]


@_behaviour("a Span is a value: equal by content, mutable, not hashable")
def _(spool: Path) -> None:
    words = ("i", "s", "user_msg", "n", "t")
    span = cm.Span(*words)
    assert span == cm.Span(*words)
    assert span.to_payload()["attributes"] == {}
    span.attributes["a"] = 1
    assert span != cm.Span(*words)
    with pytest.raises(TypeError):
        hash(span)


@pytest.mark.parametrize("what", BEHAVIOURS)
def test_published_behaviour_holds(what: str, tmp_path: Path) -> None:
    BEHAVIOURS[what](tmp_path)
