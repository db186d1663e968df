"""What the emitter takes of a job's memory, and that it does not grow."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from benches.measure import Report, median
from benches.procs import clean
from benches.venvs import ours_venv

_RSS = """
import json, os, sys, threading
def rss():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1000 for line in file if line.startswith("VmRSS:"))
    except OSError:
        done = os.popen("ps -o rss= -p %d" % os.getpid()).read()
        return int(done) / 1000
"""
_BARE = _RSS + "print(json.dumps([rss()]))"
_TRACE = (
    _RSS
    + """
import tracehouse as cm
cm.init(spool_dir={spool!r}, project="bench")
found = []
at = 0
for stop in {stops}:
    while at < stop:
        cm.log_user("What was changed last, and by whom? %d" % at)
        at += 1
    found.append(rss())
print(json.dumps(found))
"""
)
_RUN = (
    _RSS
    + """
import tracehouse as cm
run = cm.init_run(spool_dir={spool!r}, project="bench", capture_env={all}, system_metrics={all})
found = []
at = 0
for stop in {stops}:
    while at < stop:
        run.log({{"loss": 1.0 / (at + 1), "acc": at / 7, "lr": 3e-4, "norm": at * 1.1}})
        at += 1
    found.append(rss())
run.flush()
found.append(rss())
print(json.dumps(found))
"""
)


def run(report: Report, home: Path) -> None:
    python = ours_venv(home / "venv")
    os.chdir(home)
    bare = median(_measure(python, _BARE)[0] for _ in range(5))
    most = report.size(100_000, 1_000_000, 10_000_000)
    stops = [1000, most // 10, most]
    report.add("bare Python with json and threading", "MB", bare)
    for name, script in (("a trace", _TRACE), ("a training run", _RUN)):
        found = _measure(python, script.format(spool=str(home / name), stops=stops, all=False))
        report.add(f"{name} after 1,000 records, over that", "MB", found[0] - bare, target=3.0)
        report.add(f"its growth from {stops[1]:,} to {most:,} records", "MB", found[2] - found[1], target=0.5)
    with_all = _measure(python, _RUN.format(spool=str(home / "all"), stops=[1000], all=True))
    report.add("a training run with environment and system metrics", "MB", with_all[-1] - bare)


def _measure(python: Path, script: str) -> list[float]:
    done = subprocess.run(
        [str(python), "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        env=clean(),
    )
    found: list[float] = json.loads(done.stdout)
    return found
