"""What a log call costs, against one JSON encoding and one write(2) in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benches.measure import Report, alternate, median, paired
from benches.procs import Worker, together

NAMES = {"span": "log_user, 200 bytes", "metrics": "run.log, 4 floats"}


def run(report: Report, home: Path) -> None:
    for name in ("ours", "floor"):
        (home / name).mkdir()
    with _worker("ours", home / "ours") as ours, _worker("floor", home / "floor") as floor:
        for kind in NAMES:
            _latencies(report, ours, floor, kind)
        for kind in NAMES:
            _threads(report, ours, floor, kind)
    for kind in NAMES:
        _processes(report, home, kind)
    _rolls(report, home)


def _worker(side: str, folder: Path, segment_bytes: int = 0) -> Worker:
    return Worker("log_work", side, str(folder), str(segment_bytes))


def _both(rounds: int, ours: Worker, floor: Worker, do: str, **what: Any) -> tuple[list[Any], list[Any]]:
    for worker in (ours, floor):
        worker.ask(do, **{**what, "count": max(1, what["count"] // 10)})
    return alternate(rounds, lambda: ours.ask(do, **what), lambda: floor.ask(do, **what))


def _add(report: Report, what: str, found: tuple[list[Any], list[Any]], most: dict[str, float | None]) -> None:
    for name, target in most.items():
        mine, theirs = ([one[name] for one in side] for side in found)
        report.add(
            f"{what}: {name}", "µs", median(mine), other=median(theirs), ratio=paired(mine, theirs), target=target
        )


def _latencies(report: Report, ours: Worker, floor: Worker, kind: str) -> None:
    name = NAMES[kind]
    found = _both(report.size(10, 40), ours, floor, "burst", kind=kind, count=2000)
    _add(report, f"{name}, saturated", found, {"p50": 1.25, "p99": 2.0})
    report.add(
        f"{name}, saturated: longest of all",
        "ms",
        max(one["max"] for one in found[0]) / 1e3,
        other=max(one["max"] for one in found[1]) / 1e3,
    )
    found = _both(report.size(2, 6), ours, floor, "paced", kind=kind, count=300, rate=200)
    _add(report, f"{name}, 200 calls/s", found, {"p50": 1.25, "p99": 2.0})
    found = _both(report.size(4, 12), ours, floor, "flushed", kind=kind, count=50)
    _add(report, f"{name}, flush() after each (floor: fdatasync)", found, {"p50": None, "p99": None})


def _threads(report: Report, ours: Worker, floor: Worker, kind: str) -> None:
    count = report.size(1000, 3000)
    taken = _both(report.size(4, 10), ours, floor, "threads", kind=kind, count=count, number=8)
    _throughput(report, f"{NAMES[kind]}, 8 threads", 8 * count, taken)


def _throughput(report: Report, what: str, count: int, taken: tuple[list[float], list[float]]) -> None:
    mine, theirs = ([count / seconds for seconds in side] for side in taken)
    more: dict[str, Any] = {"target": 0.8, "least": True, "ratio": paired(mine, theirs)}
    report.add(what, "calls/s", median(mine), other=median(theirs), **more)


def _processes(report: Report, home: Path, kind: str) -> None:
    count = report.size(2000, 5000)
    sides: dict[str, list[Worker]] = {
        side: [_worker(side, home / side) for _ in range(8)] for side in ("ours", "floor")
    }
    try:
        for workers in sides.values():
            together(workers, "total", kind=kind, count=100)
        taken = alternate(
            report.size(4, 10),
            lambda: together(sides["ours"], "total", kind=kind, count=count)[0],
            lambda: together(sides["floor"], "total", kind=kind, count=count)[0],
        )
        _throughput(report, f"{NAMES[kind]}, 8 processes", 8 * count, taken)
    finally:
        for worker in (*sides["ours"], *sides["floor"]):
            worker.close()


def _rolls(report: Report, home: Path) -> None:
    size, count = 1 << 20, report.size(20_000, 60_000)
    found: dict[str, Any] = {}
    for side in ("ours", "floor"):
        folder = home / f"roll-{side}"
        os.mkdir(folder)
        with _worker(side, folder, size) as worker:
            found[side] = worker.ask("rolls", kind="span", count=count)
    rolls = found["ours"]["rolls"]
    report.add(f"longest call that begins a segment ({len(rolls)} of 1 MiB)", "ms", max(rolls), target=5.0)
    report.add("median call that begins a segment", "ms", median(rolls))
    report.add("longest call meanwhile", "ms", found["ours"]["max"], other=found["floor"]["max"])
