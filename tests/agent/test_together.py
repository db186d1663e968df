"""What is done while an answer is on its way: it delays no answer, and its failure loses none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import tracehouse as cm
from tests.support.servers import Received, reply, serving
from tracehoused.config import resolve
from tracehoused.http.client import Client
from tracehoused.http.request import Request
from tracehoused.http.retry import Verdict
from tracehoused.upload.batch import Batch, Bounds
from tracehoused.upload.engine import Engine, Options
from tracehoused.upload.together import SLOW_NEXT, Sent, Work, alike_from, may_join


def test_there_is_work_until_the_answer_comes_and_no_longer() -> None:
    worked = threading.Event()
    steps = 0

    def step() -> bool:
        nonlocal steps
        steps += 1
        if steps == 3:
            worked.set()
        return True

    def answer(connection: socket.socket, got: Received) -> bool:
        return worked.wait(30) and reply(200)(connection, got)

    with serving(answer, reply(200)) as server, Client(server.url, token=None, machine_id="m") as client:
        assert client.send(Request("POST", "/x", body=b"{}"), step).verdict is Verdict.ACCEPTED
        found = steps
        assert client.send(Request("POST", "/x", body=b"{}")).verdict is Verdict.ACCEPTED
        assert steps == found >= 3


def test_a1_what_fails_during_a_request_is_raised_when_it_is_over() -> None:
    def steps() -> Iterator[object]:
        yield None
        raise OSError("no space left")

    work = Work(steps())
    work.begin_wait()
    with serving(reply(200)) as server, Client(server.url, token=None, machine_id="m") as client:
        assert client.send(Request("POST", "/x", body=b"{}"), work.step).verdict is Verdict.ACCEPTED
    while work.step():
        pass
    with pytest.raises(OSError, match="no space left"):
        work.finish()


def test_a_step_that_waits_for_the_disk_begins_with_a_wait() -> None:
    done: list[str] = []

    def steps() -> Iterator[object]:
        done.append("read")
        yield SLOW_NEXT
        done.append("synced")

    work = Work(steps())
    work.begin_wait()
    assert work.step()
    assert not work.step()
    work.begin_wait(lambda: done.append("first"))
    while work.step():
        pass
    assert done == ["read", "first", "synced"]


def test_in_the_last_wait_nothing_is_put_off() -> None:
    done: list[str] = []

    def steps() -> Iterator[object]:
        yield SLOW_NEXT
        done.append("synced")

    work = Work(steps())
    reply: Future[None] = Future()
    threading.Timer(0.05, reply.set_result, [None]).start()
    work.until_done(reply, last=True)
    work.finish()
    assert done == ["synced"]


class Slow:
    """Takes 10 ms for points, and longer for those that come alone: ``alone`` are these."""

    def __init__(self) -> None:
        self.alone = 0
        self._count = 0
        self._turn = threading.Condition()

    def __call__(self, connection: socket.socket, got: Received) -> bool:
        if not got.target.endswith("/metrics"):
            return reply(200, b'{"id":"r-1","created":true}')(connection, got)
        with self._turn:
            self._count += 1
            place = self._count
            self._turn.notify_all()
            paired = place % 2 == 0 or self._turn.wait_for(lambda: self._count > place, 2)
            self.alone += not paired
        threading.Event().wait(0.01)
        return reply(200, b'{"ingested":%d,"dropped":0}' % got.body.count(b'{"key":'))(connection, got)


def test_points_go_out_two_requests_at_once_to_a_server_that_takes_its_time(tmp_path: Path) -> None:
    run = cm.init_run(spool_dir=str(tmp_path / "spool"), system_metrics=False, capture_env=False)
    for _ in range(1500):
        run.log({"a": 1.5, "b": 2.5, "c": 3.5, "d": 4.5})
    run.finish()
    slow = Slow()
    with serving(slow) as server:
        environ = {
            "TRACEHOUSE_API_BASE": server.url,
            "TRACEHOUSE_API_KEY": "ba_secret",
            "TRACEHOUSE_STATE_DIR": str(tmp_path / "state"),
            "HOME": str(tmp_path),
        }
        engine = Engine(resolve(environ=environ), environ, Options(api_base=server.url))
        outcome = engine.drain(run.spool_path).outcome
        engine.close()
        sent = [one for one in server.received if one.target.endswith("/metrics")]
    assert outcome.complete, outcome.trouble
    assert len(sent) == 6
    assert slow.alone == 0


def test_only_the_end_of_a_round_that_is_of_one_lane_is_sent_one_by_one() -> None:
    batches = [Batch(Bounds(lane, "0123456789abcdef", 0, 0, 1, 1, 1), 1) for lane in ("spans", "metrics", "metrics")]
    assert alike_from(batches) == 1
    assert alike_from([*batches, Batch(batches[0].bounds._replace(lane="media"), 1)]) == 4
    assert alike_from([]) == 0


def _joining(size: int) -> int:
    """How many files of so many bytes may be under way at once."""
    under_way: list[Sent] = []
    while may_join("media", frozenset([len(under_way)]), size, under_way, ordered=True):
        batch = Batch(Bounds("media", "0123456789abcdef", 0, 0, 1, 1, 1), 1)
        under_way.append(Sent(batch, frozenset([len(under_way)]), size, False, Future()))
    return len(under_way)


def test_files_go_out_three_at_once_and_eight_where_they_are_small() -> None:
    assert [_joining(size) for size in (2_000, 100_000, 300_000, 5_000_000)] == [8, 8, 3, 3]


def test_a13_media_of_one_key_and_step_never_go_out_at_once() -> None:
    one = Sent(Batch(Bounds("media", "0123456789abcdef", 0, 0, 1, 1, 1), 1), frozenset(["a"]), 10, False, Future())
    assert not may_join("media", frozenset(["a"]), 10, [one], ordered=True)
    assert may_join("media", frozenset(["b"]), 10, [one], ordered=True)
