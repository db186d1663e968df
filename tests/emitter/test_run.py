"""Chat traces: the published interface, and what ours adds."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs
from tracehouse import clock, defaults
from tracehouse.spool.writer import writer_of


@pytest.fixture(autouse=True)
def _spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRACEHOUSE_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr(defaults, "_run", None)
    monkeypatch.setattr(defaults, "_training_run", None)
    yield
    jobs.close_all()


def _spans(spool: Path) -> list[dict[str, Any]]:
    return jobs.of_type(jobs.only_session(spool), "span")


def test_the_page_s_quickstart(tmp_path: Path) -> None:
    cm.init(
        api_key="ba_0123456789",
        project="my-bot",
        session_id="run-001",
        task_name="demo task",
        model="claude-opus-4-7",
    )
    cm.log_user("hello")
    cm.log_assistant("hi there")
    cm.log_tool_use("Read", {"file_path": "x.py"})
    cm.log_tool_result("file contents")
    cm.finish(outcome="good", metadata={"k": "v"})
    session = jobs.only_session(tmp_path)
    [trace] = jobs.of_type(session, "trace")
    assert list(trace) == ["session_id", "project", "scaffold", "task_name", "model", "started_at"]
    assert [(span["kind"], span["name"]) for span in _spans(tmp_path)] == [
        ("user_msg", "user message"),
        ("assistant_msg", "assistant message"),
        ("tool_use", "Read"),
        ("tool_result", "tool_result"),
    ]
    patch = {"session_id": "run-001", "outcome": "good", "metadata": {"k": "v"}}
    assert jobs.of_type(session, "trace_patch") == [patch]
    assert [one.type for one in jobs.records(session)][-1] == "close"


@pytest.mark.parametrize(
    "call,kind,name,attributes",
    [
        (lambda: cm.log_user("u"), "user_msg", "user message", {"text": "u"}),
        (lambda: cm.log_user(None), "user_msg", "user message", {}),
        (lambda: cm.log_user(""), "user_msg", "user message", {"text": ""}),
        (lambda: cm.log_user({"a": 1}), "user_msg", "user message", {"text": {"a": 1}}),
        (lambda: cm.log_thinking("t"), "thinking", "thinking", {"text": "t"}),
        (lambda: cm.log_tool_use("Read"), "tool_use", "Read", {"tool_input": {}}),
        (lambda: cm.log_tool_result("r", tool="Bash"), "tool_result", "Bash", {"result_text": "r"}),
        (lambda: cm.log_attachment("a"), "attachment", "a", {}),
        (lambda: cm.log_attachment("a", {"u": 1}, text="cap"), "attachment", "a", {"u": 1, "text": "cap"}),
        (
            lambda: cm.log(kind="thinking", name="n", text="T", attributes={"a": 1}),
            "thinking",
            "n",
            {"a": 1, "text": "T"},
        ),
        (
            lambda: cm.log(kind="thinking", name="n", text="T", attributes={"text": "keep"}),
            "thinking",
            "n",
            {"text": "keep"},
        ),
        (
            lambda: cm.log(kind="tool_result", name="n", text="T", attributes={"result_text": "keep"}),
            "tool_result",
            "n",
            {"result_text": "keep"},
        ),
        (lambda: cm.log(kind="tool_result", name="n", text="T"), "tool_result", "n", {"text": "T"}),
    ],
)
def test_each_helper_has_its_kind_name_and_attributes(
    tmp_path: Path, call: Any, kind: str, name: str, attributes: dict[str, Any]
) -> None:
    cm.init(session_id="s")
    returned = call()
    cm.finish()
    [span] = _spans(tmp_path)
    assert (span["kind"], span["name"], span["attributes"]) == (kind, name, attributes)
    assert list(span) == ["id", "session_id", "kind", "name", "start_at", "attributes", "end_at"]
    assert span == returned.to_payload()


def test_parents_and_statuses_are_kept(tmp_path: Path) -> None:
    cm.init(session_id="s")
    cm.log_user("x", attributes={"extra": 1}, status="ok", parent_span_id="p")
    [span] = _spans(tmp_path)
    assert (span["parent_span_id"], span["status"], span["attributes"]) == ("p", "ok", {"extra": 1, "text": "x"})


def test_a_span_is_a_value() -> None:
    one = cm.Span("i", "s", "user_msg", "n", "t")
    assert one == cm.Span(id="i", session_id="s", kind="user_msg", name="n", start_at="t", attributes={})
    assert one.to_payload() == {
        "id": "i", "session_id": "s", "kind": "user_msg", "name": "n", "start_at": "t", "attributes": {},
    }  # fmt: skip
    one.status = "ok"
    assert one != cm.Span("i", "s", "user_msg", "n", "t")
    with pytest.raises(TypeError):
        hash(one)


def test_push_spans_records_them_as_they_are(tmp_path: Path) -> None:
    run = cm.init(session_id="s")
    pushed = cm.Span("i", "other", "odd", "n", "t", attributes={"a": 1})
    run.push_spans(iter([pushed]))
    run.push_spans([])
    with pytest.raises(cm.ArgumentError):
        run.push_spans([{"id": "i"}])  # type: ignore[list-item]
    assert _spans(tmp_path) == [pushed.to_payload()]


@pytest.mark.parametrize(
    "call,told",
    [
        (lambda run: run.log(kind="x", name="n"), r"kind must be one of \('user_msg', .*\), got 'x'"),
        (lambda run: run.log(kind=["x"], name="n"), r"kind must be one of"),
        (lambda run: run.finish(outcome="meh"), r"outcome must be one of \('good', 'bad', 'neutral'\), got 'meh'"),
        (lambda run: run.finish(metadata=5), "metadata must be a mapping, got 5"),
        (lambda run: run.log_tool_use("Read", "str"), "input must be a mapping, got 'str'"),
        (lambda run: run.log_user("x", attributes="str"), "attributes must be a mapping"),
        (lambda run: run.span("x"), "kind must be one of"),
        (
            lambda run: run.log(kind="user_msg", name="n", status="great"),
            r"status must be one of \('ok', 'error'\), got 'gre",
        ),
        (lambda run: run.log_tool_result("r", status=True), r"status must be one of \('ok', 'error'\), got True"),
    ],
)
def test_bad_arguments_are_named_and_cost_nothing(tmp_path: Path, call: Any, told: str) -> None:
    run = cm.init(session_id="s")
    with pytest.raises(cm.ClaudeMonitorError, match=told):
        call(run)
    run.log_user("still open")
    run.finish(outcome="good")
    session = jobs.only_session(tmp_path)
    assert jobs.texts(session) == ["still open"]
    assert [patch["outcome"] for patch in jobs.of_type(session, "trace_patch")] == ["good"]


@pytest.mark.parametrize(
    "arguments,told",
    [
        ({"api_key": "sk-1"}, "api_key should start with 'ba_' — did you paste a session token by mistake?"),
        ({"api_key": "ba_12345678", "anonymous": True}, "exclude each other"),
        ({"mode": "fast"}, "mode must be one of"),
        ({"transport": print}, "transport= has no meaning here"),
        ({"api_base": "tracehouse.ai"}, "api_base must begin with http"),
        ({"redact": 5}, "redact must be a function or patterns"),
        ({"redact": ["("]}, "redact takes regular expressions"),
    ],
)
@pytest.mark.parametrize("begin", [cm.init, cm.init_run])
def test_bad_settings_are_told_and_leave_the_earlier_one_alone(
    tmp_path: Path, begin: Any, arguments: dict[str, Any], told: str
) -> None:
    earlier = begin(**({"capture_env": False, "system_metrics": False} if begin is cm.init_run else {}))
    with pytest.raises(cm.ClaudeMonitorError, match=told):
        begin(**arguments)
    assert (cm.current_run() if begin is cm.init_run else cm.current()) is earlier
    session = jobs.only_session(tmp_path)
    assert not jobs.of_type(session, "run_patch", "close")


def test_without_a_run_there_is_nothing_to_log_to() -> None:
    for call in (lambda: cm.log_user("x"), cm.current, lambda: cm.log(kind="thinking", name="n")):
        with pytest.raises(cm.ClaudeMonitorError, match=r"no active run — call tracehouse\.init\(\) first"):
            call()
    for call in (lambda: cm.run_log({"a": 1}), cm.current_run):
        with pytest.raises(
            cm.ClaudeMonitorError, match=r"no active training run — call tracehouse\.init_run\(\) first"
        ):
            call()
    assert cm.finish() is True
    assert cm.run_finish() is True


@pytest.mark.parametrize(
    "arguments,patches",
    [
        ({}, []),
        ({"metadata": {}, "outcome": "neutral"}, [{"session_id": "s", "outcome": "neutral", "metadata": {}}]),
        ({"metadata": [("a", 1)]}, [{"session_id": "s", "metadata": {"a": 1}}]),
        (
            {"task_name": "t", "model": "m", "scaffold": "z"},
            [{"session_id": "s", "task_name": "t", "model": "m", "scaffold": "z"}],
        ),
    ],
)
def test_finish_states_what_it_is_given_once(
    tmp_path: Path, arguments: dict[str, Any], patches: list[dict[str, Any]]
) -> None:
    run = cm.Run(session_id="s")
    run.finish(**arguments)
    run.finish(outcome="bad")
    assert jobs.of_type(jobs.only_session(tmp_path), "trace_patch") == patches


def _leave(error: BaseException | None) -> None:
    with cm.Run(session_id="s"):
        if error is not None:
            raise error


@pytest.mark.parametrize(
    "error,patch",
    [
        (None, None),
        (SystemExit(0), None),
        (SystemExit(), None),
        (ValueError("bad thing"), {"error": "ValueError: bad thing"}),
        (SystemExit(3), {"error": "SystemExit: 3"}),
        (KeyboardInterrupt(), {"error": "KeyboardInterrupt: "}),
    ],
)
def test_a_with_block_left_by_an_error_is_bad(
    tmp_path: Path, error: BaseException | None, patch: dict[str, Any] | None
) -> None:
    if error is None:
        _leave(None)
    else:
        with pytest.raises(type(error)):
            _leave(error)
    wanted = [] if patch is None else [{"session_id": "s", "outcome": "bad", "metadata": patch}]
    assert jobs.of_type(jobs.only_session(tmp_path), "trace_patch") == wanted


def test_a_second_init_ends_the_first_without_an_outcome(tmp_path: Path) -> None:
    cm.init(session_id="a")
    cm.init(session_id="b")
    first, second = jobs.sessions(tmp_path)
    assert [one.type for one in jobs.records(first)][-1] == "close"
    assert not jobs.of_type(first, "trace_patch")
    assert not jobs.of_type(second, "close")


def test_a_span_logged_after_finish_still_goes_out(tmp_path: Path) -> None:
    run = cm.init(session_id="s")
    run.finish()
    cm.log_user("late")
    assert jobs.texts(jobs.only_session(tmp_path)) == ["late"]


def test_a_session_is_resumed_by_its_id_in_this_process_and_another(tmp_path: Path) -> None:
    for n in range(3):
        run = cm.init(session_id="s")
        run.log_user(f"here {n}")
        run.finish()
        del run
    cm.finish()
    jobs.run("cm.init(session_id='s')\ncm.log_user('there')", tmp_path)
    session = jobs.only_session(tmp_path)
    assert sorted(jobs.texts(session)) == ["here 0", "here 1", "here 2", "there"]
    assert jobs.gaps(session) == {}
    assert len(jobs.of_type(session, "trace")) == 4
    attempts = {one.epoch: one.data["attempt"] for one in jobs.records(session) if one.type == "segment"}
    assert len(attempts) == 2


def test_s2_a_session_goes_on_behind_an_empty_segment_that_an_interrupted_try_left(tmp_path: Path) -> None:
    cm.Run(session_id="s").finish()
    session = jobs.only_session(tmp_path)
    (session / f"{jobs.records(session)[0].epoch}-000001.jsonl").touch()
    writer_of(str(tmp_path), clock.now).sync_dirty()
    gc.collect()  # nothing in memory tells any more how far it came
    run = cm.Run(session_id="s")
    run.log_user("again")
    run.finish()
    assert jobs.texts(session) == ["again"]
    assert len(jobs.of_type(session, "trace")) == 2
    assert jobs.gaps(session) == {}


def test_a_new_attempt_begins_where_no_writer_lives(tmp_path: Path) -> None:
    for _ in range(3):
        jobs.run("cm.init(session_id='s')\ncm.log_user('x')\nos._exit(0)", tmp_path)
    headers = jobs.of_type(jobs.only_session(tmp_path), "segment")
    assert sorted((one["attempt"], one["claim"]) for one in headers) == [(1, 1), (2, 2), (3, 3)]


def test_a_trace_that_is_not_created_here_records_its_spans_only(tmp_path: Path) -> None:
    run = cm.Run(session_id="s", auto_create=False)
    run.log_user("x")
    with pytest.raises(cm.ClaudeMonitorError, match="run was not created — no trace_id"):
        run.finish(outcome="good")
    run.finish()
    session = jobs.only_session(tmp_path)
    assert jobs.texts(session) == ["x"]
    assert not jobs.of_type(session, "trace")


@pytest.mark.parametrize(
    "job",
    [
        "cm.Run(session_id='s', auto_create=False)",
        "cm.Run(session_id='s', auto_create=False).finish()",
        "with cm.Run(session_id='s', auto_create=False): pass",
        "cm.TrainingRun(client_run_id='r', auto_create=False)",
    ],
)
def test_what_is_not_created_here_and_holds_nothing_leaves_no_record(tmp_path: Path, job: str) -> None:
    jobs.run(job, tmp_path)
    assert not list(jobs.only_session(tmp_path).glob("*.jsonl"))


def test_the_attributes_of_a_run_are_those_published() -> None:
    run = cm.Run(project="p", task_name="t", model="m", hostname="h", agent_version="1", run_id="R", rollout_step=0)
    assert run.session_id.startswith("py-")
    assert (run.project, run.scaffold, run.task_name, run.model) == ("p", "python-sdk", "t", "m")
    assert (run.hostname, run.agent_version, run.run_id, run.rollout_step) == ("h", "1", "R", 0)
    assert run.machine_id == run.machine_id.lower()
    assert run.trace_id is None
    run.trace_id = "tr1"
    assert run.trace_id == "tr1"


def test_the_server_s_id_is_read_from_what_an_agent_noted(tmp_path: Path) -> None:
    run = cm.Run(session_id="s")
    assert run.trace_id is None
    noted = jobs.only_session(tmp_path) / "upload" / "d" / "ids.jsonl"
    noted.parent.mkdir(parents=True)
    noted.write_text(json.dumps({"kind": "trace", "session": "s", "id": "tr9"}) + '\n{"kind": "tra')
    assert run.trace_id == "tr9"


def test_disabled_does_everything_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEHOUSE_MODE", "disabled")
    cm.init()
    cm.log_user("x")
    with cm.current().span("tool_use", "t"):
        pass
    assert cm.flush() is True
    assert cm.current().trace_id is None
    run = cm.init_run()
    run.log({"a": 1, "i": cm.Image(b"GIF89a")})
    run.log({"a": 1}, step=5)
    run.config["x"] = 1
    with run.rollout() as t:
        t.log_user("x")
    assert "Results" not in run.model_card()
    assert cm.attach_run().rollout().session_id
    assert cm.run_finish() is True
    assert cm.finish(outcome="good") is True
    assert list(tmp_path.iterdir()) == []


def test_open_spans_have_their_true_times_and_failures(tmp_path: Path) -> None:
    run = cm.Run(session_id="s")

    def fail() -> None:
        with run.span("tool_use", "Read", input={"a": 1}) as span:
            run.log_tool_result("r")
            span.attributes["more"] = 2
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    with run.span("assistant_msg") as streamed:
        for piece in ("a", "b", "c"):
            streamed.write(piece)
    result, read, said = _spans(tmp_path)
    assert result["parent_span_id"] == read["id"]
    assert read["start_at"] <= result["start_at"] <= read["end_at"]
    assert read["status"] == "error"
    assert read["attributes"] == {"tool_input": {"a": 1}, "more": 2, "error": "ValueError: no"}
    assert (said["attributes"], said["status"]) == ({"text": "abc"}, "ok")


def test_e3_the_status_of_an_open_span_is_ok_or_error(tmp_path: Path) -> None:
    run = cm.Run(session_id="s")
    with run.span("tool_use", "Read") as span:
        with pytest.raises(cm.ArgumentError, match=r"status must be one of \('ok', 'error'\), got 'great'"):
            span.status = "great"
        span.status = "error"
    [read] = _spans(tmp_path)
    assert read["status"] == "error"


def test_a_span_of_one_trace_is_no_parent_in_another(tmp_path: Path) -> None:
    outer, inner = cm.Run(session_id="a"), cm.Run(session_id="b")
    with outer.span("tool_use", "t") as span:
        assert inner.log_user("x").parent_span_id is None
        with inner.span("tool_use", "u"):
            assert outer.log_user("x").parent_span_id == span.id


@pytest.mark.parametrize(
    "arguments,environ,credential",
    [
        ({}, {}, None),
        ({"anonymous": True}, {}, "anon"),
        ({}, {"TRACEHOUSE_ANON": "1"}, "anon"),
        ({}, {"TRACEHOUSE_ANON": "0"}, None),
        ({"api_key": ""}, {}, None),
        ({"api_key": "ba_12345678"}, {"TRACEHOUSE_ANON": "1"}, "key"),
        ({}, {"TRACEHOUSE_API_KEY": "ba_12345678"}, "key"),
        ({"anonymous": True}, {"TRACEHOUSE_API_KEY": "ba_12345678"}, "anon"),
        ({"anonymous": False}, {"TRACEHOUSE_ANON": "1"}, None),
    ],
)
def test_whose_a_trace_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    environ: dict[str, str],
    credential: str | None,
) -> None:
    from tracehouse.spool.layout import fingerprint

    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    cm.Run(session_id="s", **arguments)
    manifest = json.loads((jobs.only_session(tmp_path) / "session.json").read_text())
    assert manifest["credential"] == (fingerprint("ba_12345678") if credential == "key" else credential)
    assert manifest["api_base"] == "https://tracehouse.ai"


def test_e3_an_id_that_no_server_would_take_is_refused_at_once() -> None:
    with pytest.raises(cm.ArgumentError, match="at most 1,024 characters, got 5,000"):
        cm.Run(session_id="x" * 5000)
    with pytest.raises(cm.ArgumentError, match="client_run_id"):
        cm.TrainingRun(client_run_id="y" * 1025)
