"""What it costs to import tracehouse and to begin a trace, in environments with compiled bytecode."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from benches.measure import Report, median
from benches.procs import clean
from benches.venvs import InstallError, bare_venv, ours_venv, package_venv

PUBLISHED = "tracehouse-sdk==0.6.0"
# what a first record has no need of
NEEDLESS = ("numpy", "PIL", "httpx", "logging", "dataclasses", "hashlib", "uuid", "inspect", "ssl", "subprocess")
OWN_NEEDLESS = ("tracehouse.wandb", "tracehouse.monitor", "tracehouse.media")

_INIT = """
import time
import tracehouse as cm
began = time.perf_counter()
cm.init(spool_dir={spool!r}, project="bench")
middle = time.perf_counter()
cm.log_user("hello")
logged = time.perf_counter()
cm.init_run(spool_dir={spool!r}, project="bench")
ended = time.perf_counter()
cm.init(spool_dir={spool!r}, project="bench")
again = time.perf_counter()
print(1e3 * (middle - began), 1e3 * (logged - middle), 1e3 * (ended - logged), 1e3 * (again - ended))
"""
_MODULES = """
import sys
before = set(sys.modules)
import tracehouse as cm
imported = set(sys.modules) - before
cm.init(spool_dir={spool!r}, project="bench")
cm.log_user("hello")
used = set(sys.modules) - before
import json
print(json.dumps([sorted(imported), sorted(used)]))
"""


def run(report: Report, home: Path) -> None:
    os.chdir(home)  # what lies in the current directory would be imported first
    pythons = {"bare": bare_venv(home / "bare"), "ours": ours_venv(home / "ours")}
    try:
        pythons["published"] = package_venv("published", PUBLISHED)
    except InstallError as error:
        report.note(f"{PUBLISHED} left out: {error}")
    _imports(report, pythons)
    _init(report, pythons["ours"], home / "spool")
    _modules(report, pythons["ours"], home / "spool")


def _imports(report: Report, pythons: dict[str, Path]) -> None:
    commands = {name: [str(python), "-c", "import tracehouse"] for name, python in pythons.items()}
    commands["bare"] = [str(pythons["bare"]), "-c", "pass"]
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for n in range(report.size(10, 40) + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, env=clean())
            if n:  # the first one fills the disk's cache
                taken[name].append(1e3 * (time.perf_counter() - began))
    over = {
        name: median(a - b for a, b in zip(times, taken["bare"])) for name, times in taken.items() if name != "bare"
    }
    if "published" in over:
        report.add(
            "import tracehouse, over bare Python",
            "ms",
            over["ours"],
            other=over["published"],
            versus="published",
            target=0.4,
        )
    else:
        report.add("import tracehouse, over bare Python", "ms", over["ours"])
    report.add("bare Python", "ms", median(taken["bare"]))


def _init(report: Report, python: Path, spool: Path) -> None:
    rows = []
    for _ in range(report.size(10, 30)):
        done = subprocess.run(
            [str(python), "-c", _INIT.format(spool=str(spool))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
            env=clean(),
        )
        rows.append([float(word) for word in done.stdout.split()])
    init, first, run_, again = (median(column) for column in zip(*rows))
    report.add("cm.init(), the first in a process", "ms", init, target=3.0)
    report.add("the first cm.log_user()", "ms", first)
    report.add("cm.init_run() after it", "ms", run_)
    report.add("cm.init() once more", "ms", again)


def _modules(report: Report, python: Path, spool: Path) -> None:
    done = subprocess.run(
        [str(python), "-c", _MODULES.format(spool=str(spool))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        env=clean(),
    )
    imported, used = json.loads(done.stdout)
    report.add("modules that importing tracehouse loads", "", len(imported))
    report.add("modules loaded after init and log_user", "", len(used))
    needless = [name for name in used if name in NEEDLESS or name in OWN_NEEDLESS]
    report.add("of them, such as no record needs", "", len(needless), target=0)
    report.note(f"loaded after log_user: {', '.join(used)}")
    if needless:
        report.note(f"not needed: {', '.join(needless)}")
