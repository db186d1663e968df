"""@traced: functions whose calls are spans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs
from tracehouse import defaults


@pytest.fixture(autouse=True)
def _trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(defaults, "_run", None)
    cm.init(session_id="s", spool_dir=tmp_path)
    yield
    jobs.close_all()


def _spans(spool: Path) -> list[dict[str, Any]]:
    cm.finish()
    return jobs.of_type(jobs.only_session(spool), "span")


def test_arguments_results_and_nesting(tmp_path: Path) -> None:
    @cm.traced
    def inner(a: int, *, b: int = 2) -> int:
        return a + b

    @cm.traced(kind="thinking", name="outer", capture=False)
    def outer() -> int:
        return inner(1)

    assert outer() == 3
    first, second = _spans(tmp_path)
    assert first["attributes"] == {"tool_input": {"a": 1}, "result_text": 3}
    assert (second["kind"], second["name"], second["attributes"]) == ("thinking", "outer", {})
    assert first["parent_span_id"] == second["id"]


def test_failures_pass_through_and_are_recorded(tmp_path: Path) -> None:
    @cm.traced
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()
    [span] = _spans(tmp_path)
    assert (span["status"], span["attributes"]["error"]) == ("error", "ValueError: no")


def test_async_functions_and_generators_last_as_long_as_they_run(tmp_path: Path) -> None:
    @cm.traced
    async def coroutine(x: int) -> int:
        await asyncio.sleep(0)
        cm.log_thinking("in coroutine")
        return x

    @cm.traced
    def generator() -> Iterator[int]:
        yield 1
        cm.log_thinking("in generator")
        yield 2

    @cm.traced
    async def stream() -> AsyncIterator[int]:
        yield 1
        cm.log_thinking("in stream")

    async def drain() -> list[int]:
        return [item async for item in stream()]

    assert asyncio.run(coroutine(5)) == 5
    assert list(generator()) == [1, 2]
    assert asyncio.run(drain()) == [1]
    spans = _spans(tmp_path)
    ids = {span["id"]: span["name"].rpartition(".")[2] for span in spans}
    said = {span["attributes"]["text"]: ids[span["parent_span_id"]] for span in spans if span["kind"] == "thinking"}
    assert said == {"in coroutine": "coroutine", "in generator": "generator", "in stream": "stream"}


def test_without_a_trace_the_function_is_just_called() -> None:
    cm.finish()

    @cm.traced
    def plain(x: int) -> int:
        return x

    assert plain(4) == 4
    assert plain.__name__ == "plain"


def test_an_unknown_kind_is_refused_where_it_is_written() -> None:
    with pytest.raises(cm.ArgumentError, match="kind must be one of"):
        cm.traced(kind="x")


def test_what_has_ended_is_no_parent_in_whatever_order_generators_end() -> None:
    run = cm.current()

    def stream(name: str) -> Iterator[str]:
        with run.span("assistant_msg", name):
            yield from "ab"

    with run.span("tool_use", "outer") as outer:
        first, second = stream("first"), stream("second")
        assert list(zip(first, second)) == [("a", "a"), ("b", "b")]
        assert list(first) == []
        while_second = run.log_user("x")
        assert list(second) == []
        assert run.log_user("x").parent_span_id == outer.id
    assert run.log_user("x").parent_span_id is None
    assert while_second.parent_span_id not in (None, outer.id)


def test_a_stream_that_is_broken_off_is_no_parent_of_what_follows_and_a_task_keeps_the_one_it_began_in() -> None:
    run = cm.current()

    closed: asyncio.Event

    async def stream() -> AsyncIterator[int]:
        try:
            async with run.span("assistant_msg"):
                for n in range(3):
                    yield n
        finally:
            closed.set()

    async def later(begun: asyncio.Event) -> str | None:
        await begun.wait()
        return run.log_user("x").parent_span_id

    async def job() -> None:
        nonlocal closed
        begun, closed = asyncio.Event(), asyncio.Event()
        with run.span("tool_use", "outer") as outer:
            task = asyncio.ensure_future(later(begun))
            for _ in range(2):
                async for _ in stream():
                    break
                await closed.wait()  # by the loop, in another context
                closed.clear()
                assert run.log_user("x").parent_span_id == outer.id
        begun.set()
        assert await task == outer.id

    asyncio.run(job())
