"""Logs, or does what logging costs at least: ``python -m benches.log_work ours|floor FOLDER SEGMENT_BYTES``."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benches.measure import median, quantile
from benches.procs import serve

POOL = 64
TEXTS = [f"{n:03d} " + "Which of these files were changed last, and by whom? " * 4 for n in range(POOL)]
TEXTS = [text[:200] for text in TEXTS]
VALUES = [{"loss": 2.5 / (n + 3), "acc": n / 67, "lr": 3e-4 * n, "grad_norm": 1.0 + n / 7} for n in range(POOL)]
AT = "2026-01-31T12:00:00.{:06d}Z"
# what a line of the spool has around its data
_FRAME = {
    "span": b'{"crc":"8c736521","seq":100000,"type":"span","data":}\n',
    "metrics": b'{"crc":"8c736521","seq":100000,"type":"metrics","data":}\n',
}
Call = Callable[[int], object]


def ready(kind: str) -> list[dict[str, Any]]:
    """Payloads as they go over the wire."""
    if kind == "metrics":
        return [{"step": n + 1000, "wall_time": AT.format(n), "values": values} for n, values in enumerate(VALUES)]
    return [
        {
            "id": f"5f6c0d1e-8a7b-4c3d-9e2f-0123456789{n:02x}",
            "session_id": "bench-session",
            "kind": "user_msg",
            "name": "user message",
            "start_at": AT.format(n),
            "attributes": {"text": text},
            "end_at": AT.format(n),
        }
        for n, text in enumerate(TEXTS)
    ]


class Floor:
    """One JSON encoding and one write(2)."""

    def __init__(self, folder: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = os.open(os.path.join(folder, f"floor-{os.getpid()}"), flags, 0o600)

    def call(self, kind: str) -> Call:
        payloads, dumps, write, fd = ready(kind), json.dumps, os.write, self._fd
        return lambda n: write(fd, dumps(payloads[n % POOL]).encode())

    def same_bytes(self, kind: str) -> Call:
        """As much written as in the spool."""
        payloads, dumps, write, fd, frame = ready(kind), json.dumps, os.write, self._fd, _FRAME[kind]
        return lambda n: write(fd, dumps(payloads[n % POOL]).encode() + frame)

    def flush(self) -> None:
        getattr(os, "fdatasync", os.fsync)(self._fd)


class Ours:
    """A trace and a run in a spool."""

    def __init__(self, folder: str, segment_bytes: int) -> None:
        import tracehouse as cm
        from tracehouse.clock import now
        from tracehouse.spool.writer import writer_of

        if segment_bytes:
            writer_of(os.path.abspath(folder), now, segment_bytes=segment_bytes)
        self._cm = cm
        self.trace = cm.init(spool_dir=folder, session_id="bench-session", project="bench")
        self.run = cm.init_run(
            spool_dir=folder, client_run_id="bench-run", project="bench", system_metrics=False, capture_env=False
        )

    def call(self, kind: str) -> Call:
        if kind == "metrics":
            log, values = self.run.log, VALUES
            return lambda n: log(values[n % POOL])
        log_user, texts = self._cm.log_user, TEXTS
        return lambda n: log_user(texts[n % POOL])

    same_bytes = call

    def flush(self) -> None:
        self._cm.flush()


def times(call: Call, count: int) -> list[int]:
    """Nanoseconds of each call."""
    clock = time.perf_counter_ns
    taken = [0] * count
    for n in range(count):
        began = clock()
        call(n)
        taken[n] = clock() - began
    return taken


def _summary(taken: list[int]) -> dict[str, float]:
    return {"p50": median(taken) / 1e3, "p99": quantile(taken, 0.99) / 1e3, "max": max(taken) / 1e3}


def work(side: Ours | Floor, folder: str) -> dict[str, Callable[..., Any]]:
    def burst(kind: str, count: int) -> dict[str, float]:
        return _summary(times(side.call(kind), count))

    def flushed(kind: str, count: int) -> dict[str, float]:
        call = side.call(kind)

        def both(n: int) -> None:
            call(n)
            side.flush()

        return _summary(times(both, count))

    def paced(kind: str, count: int, rate: float) -> dict[str, float]:
        call, clock, taken = side.call(kind), time.perf_counter_ns, []
        due = time.monotonic()
        for n in range(count):
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
            began = clock()
            call(n)
            taken.append(clock() - began)
        return _summary(taken)

    def total(kind: str, count: int) -> int:
        call = side.same_bytes(kind)
        for n in range(count):
            call(n)
        return count

    def threads(kind: str, count: int, number: int) -> float:
        gate = threading.Barrier(number + 1)

        def one() -> None:
            gate.wait()
            total(kind, count)

        running = [threading.Thread(target=one) for _ in range(number)]
        for thread in running:
            thread.start()
        gate.wait()
        began = time.perf_counter()
        for thread in running:
            thread.join()
        return time.perf_counter() - began

    def rolls(kind: str, count: int) -> dict[str, Any]:
        """Of the calls in which a new segment appeared: how long each took, in ms; and the longest of all."""
        call, clock = side.call(kind), time.perf_counter_ns
        watched = side.trace.spool_path if isinstance(side, Ours) else folder
        seen, longest, found = os.stat(watched).st_mtime_ns, 0, []
        for n in range(count):
            began = clock()
            call(n)
            taken = clock() - began
            longest = max(longest, taken)
            if os.stat(watched).st_mtime_ns != seen:
                seen = os.stat(watched).st_mtime_ns
                found.append(taken / 1e6)
        return {"rolls": found, "max": longest / 1e6}

    return {"burst": burst, "flushed": flushed, "paced": paced, "total": total, "threads": threads, "rolls": rolls}


if __name__ == "__main__":
    which, where, segment = sys.argv[1:4]
    serve(work(Ours(where, int(segment)) if which == "ours" else Floor(where), where))
