"""What grows with the number of rollouts, sessions, records and points, and what does not."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benches.agents import REST, agent, cpu_seconds, settle
from benches.measure import Report, median
from benches.procs import KEY, Worker, clean, null_server, together

PROCESSES = 8


def run(report: Report, home: Path) -> None:
    _rollouts(report, home / "rollouts")
    _short_traces(report, home / "traces")
    _linear(report, home)
    _wakeups(report, home)
    _chart(report, home)


def _rollouts(report: Report, spool: Path) -> None:
    count = report.size(16_000, 100_000, 1_000_000) // PROCESSES
    with Worker("spool_work") as first:
        made = first.ask("begin_run", spool=str(spool))
        workers = [Worker("spool_work") for _ in range(PROCESSES)]
        try:
            for worker in workers:
                worker.ask("attach", spool=str(spool), run=made)
            taken, _ = together(workers, "rollouts", count=count)
            alone = report.size(500, 2000)
            began = time.perf_counter()
            workers[0].ask("rollouts", count=alone)
            single = time.perf_counter() - began
        finally:
            for worker in workers:
                worker.close()
    total = count * PROCESSES
    report.add(f"{total:,} rollouts of 2 spans from 8 processes", "ms each", 1e3 * taken / total, target=1.0)
    report.add("a rollout of 2 spans, one process", "ms each", 1e3 * single / alone, target=1.0)
    report.add("inodes of a rollout", "", _inodes(spool) / (total + alone), target=1.0)


def _short_traces(report: Report, spool: Path) -> None:
    count = report.size(300, 2000)
    with Worker("spool_work") as worker:
        taken = worker.ask("traces", spool=str(spool), count=count)
    report.add("a short trace of its own, 2 spans", "ms each", 1e3 * taken / count, target=3.0)
    report.add("inodes of a short trace", "", (_inodes(spool) - 2) / count, target=3.05)


def _inodes(folder: Path) -> int:
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def _linear(report: Report, home: Path) -> None:
    each: dict[int, float] = {}
    sizes = (10_000, 100_000, *(() if report.quick else (1_000_000,)), *((10_000_000,) if report.full else ()))
    for count in sizes:
        with Worker("spool_work") as filler:
            session = filler.ask("fill", spool=str(home / f"linear-{count}"), kind="span", count=count)
        with null_server() as address, Worker("drain_work") as drainer:
            done = [
                drainer.ask("drain", session=session, address=address, state=str(home / "state"))
                for _ in range(3 if count <= 100_000 else 2)
            ]
        each[count] = 1e6 * min(one["seconds"] for one in done) / count
        report.add(f"drain of {count:,} spans", "µs each", each[count])
        report.add(f"peak memory of a drain of {count:,} spans", "MB", done[-1]["peak"], target=60.0)
    few, many = min(each), max(each)
    report.add(
        f"a span among {many:,} against one among {few:,}", "µs", each[many], other=each[few], versus="few", target=1.2
    )


def _wakeups(report: Report, home: Path) -> None:
    costs: dict[int, float] = {}
    sizes = [10, 1000, *(() if report.quick else (10_000,)), *((100_000,) if report.full else ())]
    for idle in sizes:
        where = home / f"idle-{idle}"
        where.mkdir()
        with null_server("--keep", str(where / "kept")) as address:
            costs[idle] = _wakeup(report, where, address, idle, sizes[0])
        report.add(f"agent's CPU for a record, beside {idle:,} idle sessions", "ms", costs[idle])
    few, many = min(costs), max(costs)
    report.add(
        f"beside {many:,} idle sessions against {few}", "ms", costs[many], other=costs[few], versus="few", target=1.5
    )


def _wakeup(report: Report, where: Path, address: str, idle: int, few: int) -> float:
    spool = where / "spool"
    environ = clean(
        TRACEHOUSE_API_BASE=address,
        TRACEHOUSE_API_KEY=KEY,
        TRACEHOUSE_STATE_DIR=str(where / "state"),
        TRACEHOUSE_CONFIG_DIR=str(where / "config"),
    )
    with Worker("spool_work", environ=environ) as filler:
        filler.ask("idle", spool=str(spool), count=idle)
    with agent(spool, environ, where / "agent.log") as pid:
        if not settle(pid, 30 + idle / 50):
            report.note(f"beside {idle:,} idle sessions the agent did not come to rest")
        if idle in (few, 10_000):
            _idle(report, pid, idle)
        with Worker("latency_work", str(spool), "1", environ=environ) as job:
            job.ask("warm")
            settle(pid, 10)
            before = cpu_seconds(pid)
            count = int(job.ask("log", seconds=report.size(4, 10), rate=10))
            return 1e3 * (cpu_seconds(pid) - before) / count


def _idle(report: Report, pid: int, sessions: int) -> None:
    """For more than the minute in which the agent looks at everything once."""
    time.sleep(REST)
    seconds = report.size(5, 65)
    before = cpu_seconds(pid)
    time.sleep(seconds)
    name = f"the agent with {sessions:,} sessions and nothing live"
    report.add(f"{name}: CPU", "ms/min", (cpu_seconds(pid) - before) * 60e3 / seconds)


def _chart(report: Report, home: Path) -> None:
    count = report.size(1_000_000, 10_000_000)
    folder = home / "chart"
    folder.mkdir()
    with Worker("chart_work", str(folder)) as worker:
        taken = worker.ask("fill", count=count, at_once=20_000)
        looks = worker.ask("look", wanted=1000, times=7)
    report.add(f"{count:,} points into the house's store", "points/s", count / taken)
    size = sum(path.stat().st_size for path in folder.iterdir())
    report.add("bytes a point takes there", "", size / count)
    report.add(f"1,000 buckets of {count:,} points, the first time", "ms", looks[0])
    report.add(f"1,000 buckets of {count:,} points", "ms", median(looks), target=100.0)
