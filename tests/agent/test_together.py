"""What is done while an answer is on its way: it delays no answer, and its failure loses none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.support.servers import Received, reply, serving
from tracehoused.http.client import Client
from tracehoused.http.request import Request
from tracehoused.http.retry import Verdict
from tracehoused.upload.batch import Batch, Bounds
from tracehoused.upload.together import SLOW_NEXT, Work, alike_from


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


def test_only_the_end_of_a_round_that_is_of_one_lane_is_sent_one_by_one() -> None:
    batches = [Batch(Bounds(lane, "0123456789abcdef", 0, 0, 1, 1, 1), 1) for lane in ("spans", "metrics", "metrics")]
    assert alike_from(batches) == 1
    assert alike_from([*batches, Batch(batches[0].bounds._replace(lane="media"), 1)]) == 4
    assert alike_from([]) == 0
