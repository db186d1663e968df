"""Runs every check and test: the whole suite here, the emitter's and the agent's on every other Python found.

usage: scripts/test [--full] [--fast] [pytest arguments]

  --full   also the heavy lanes
  --fast   only the whole suite, in .venv: no checks, no other Pythons, no Debian packages
  pytest arguments: as --fast, with those arguments

TRACEHOUSE_REQUIRE=root,browser,py39,… makes a skip of that name a failure ("all": of any name).
TRACEHOUSE_TEST_JOBS=N sets how many tests run at once (0: in one process).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import debian
import envs

LANE_SUITES = ("tests/emitter", "tests/agent")
COMPILED = ("tracehouse", "tracehoused", "tests/support", "scripts")
MOST_JOBS = 4
# each process of a lane begins by importing all of its tests: two lanes at once need half as many as one after the other
LANES_AT_ONCE = 2


@dataclass
class Outcome:
    """What one lane came to; a skip is a line that tells what was left out and why."""

    passed: int = 0
    failed: int = 0
    skips: list[str] = field(default_factory=list)
    skipped: int = 0

    def add(self, other: Outcome) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.skips += other.skips


def required_lanes() -> set[str]:
    """The names in TRACEHOUSE_REQUIRE."""
    return {name.strip() for name in os.environ.get("TRACEHOUSE_REQUIRE", "").split(",") if name.strip()}


def say(text: str) -> None:
    print(f"\n── {text}", flush=True)


def _jobs(share: int) -> list[str]:
    # two for each core: most tests wait for processes of their own. Files in the order collected: those that take longest are first.
    jobs = os.environ.get("TRACEHOUSE_TEST_JOBS") or str(max(1, min(2 * (os.cpu_count() or 1), MOST_JOBS) // share))
    return ["-n", jobs, "--dist", "loadfile", "--no-loadscope-reorder"]


def _read_report(path: Path, lane: str, code: int) -> Outcome:
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError):
        print(f"{lane}: pytest ended with {code} and left no report", flush=True)
        return Outcome(failed=1)
    outcome = Outcome(report["passed"], report["failed"], skipped=sum(skip["count"] for skip in report["skips"]))
    for skip in report["skips"]:
        times = f" ({skip['count']} tests)" if skip["count"] > 1 else ""
        outcome.skips.append(f"{lane}: {skip['where']}: {skip['reason']}{times}")
    if code != 0 and not outcome.failed:
        print(f"{lane}: pytest ended with {code}" + (": no tests ran" if code == 5 else ""), flush=True)
        outcome.failed = 1
    return outcome


def _compile(python: Path) -> None:
    # Tests start some thousands of processes: each that had to compile what it imports would take twice as long.
    words = [str(python), "-m", "compileall", "-qq", *COMPILED]
    subprocess.run(words, cwd=envs.ROOT, stdin=subprocess.DEVNULL, check=False, env=envs.clean_environ())


def run_pytest(python: Path, lane: str, arguments: Sequence[str], share: int = 1, **environ: str) -> Outcome:
    """Run pytest in one environment; a run that ends in any way but well counts at least one failure.

    ``share``: how many such runs there are at once; what one of several prints is printed when it is over.
    """
    _compile(python)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [str(python), "-m", "pytest", "-q", *_jobs(share), *arguments],
            cwd=envs.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if share > 1 else None,
            stderr=subprocess.STDOUT if share > 1 else None,
            text=True,
            errors="replace",
            check=False,
            env=envs.clean_environ(TRACEHOUSE_TEST_REPORT=str(report), PATH=debian.search_path(), **environ),
        )
        if done.stdout:
            print(f"\n── {lane}\n{done.stdout}", end="", flush=True)
        return _read_report(report, lane, done.returncode)


def _prepare(python: Path) -> None:
    # Of tests that were not run before, each of pytest's processes would make its own readable form.
    _compile(python)
    words = [str(python), "-m", "pytest", "-qq", "--collect-only", "-p", "no:cacheprovider"]
    subprocess.run(
        words, cwd=envs.ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=envs.clean_environ()
    )


def run_checks(python: Path) -> Outcome:
    """`scripts/check`, counted as one test; what tests need is made meanwhile, for most of it keeps one core busy."""
    say("checks")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_prepare, python)
        done = subprocess.run(["bash", "scripts/check"], cwd=envs.ROOT, stdin=subprocess.DEVNULL, check=False)
    return Outcome(passed=1) if done.returncode == 0 else Outcome(failed=1)


def _absent(minor: int) -> Outcome:
    lane = f"py3{minor}"
    reason = f"[{lane}] no CPython 3.{minor} on this machine"
    if required_lanes() & {lane, "all"}:
        print(f"{reason}, and TRACEHOUSE_REQUIRE asks for it", flush=True)
        return Outcome(failed=1)
    return Outcome(skips=[reason], skipped=1)


def run_lane(interpreter: envs.Interpreter) -> Outcome:
    """The emitter's and the agent's suites on another Python, without the house."""
    say(f"emitter and agent on Python {interpreter.label} ({interpreter.path})")
    suites = [suite for suite in LANE_SUITES if (envs.ROOT / suite).is_dir()]
    try:
        python = envs.ensure_venv(f".venv-3.{interpreter.minor}", interpreter, envs.LANE_REQUIREMENTS, ["numpy"])
    except envs.SetupError as error:
        print(error, flush=True)
        return Outcome(failed=1)
    # The house belongs to the main environment, so here its absence is no failing.
    required = ",".join(sorted(required_lanes() - {"house", "all"}))
    return run_pytest(python, interpreter.lane, suites or ["tests/emitter"], LANES_AT_ONCE, TRACEHOUSE_REQUIRE=required)


def run_other_pythons(found: dict[int, envs.Interpreter], main: envs.Interpreter) -> Outcome:
    total = Outcome()
    minors = [minor for minor in envs.MINORS if minor != main.minor]
    with ThreadPoolExecutor(LANES_AT_ONCE) as pool:
        for outcome in pool.map(lambda minor: run_lane(found[minor]) if minor in found else _absent(minor), minors):
            total.add(outcome)
    return total


def run_all(full: bool, fast: bool, arguments: Sequence[str]) -> Outcome:
    """Everything that was asked for, in order. Raises envs.SetupError where `.venv` itself cannot be made."""
    total = Outcome()
    found = {} if fast else envs.find_interpreters()
    main = envs.main_interpreter(found or None)
    python = envs.ensure_venv(envs.MAIN_VENV, main, envs.MAIN_REQUIREMENTS)
    if not fast:
        others = [found[minor].label for minor in sorted(found) if minor != main.minor]
        absent = [f"3.{minor}" for minor in envs.MINORS if minor not in found and minor != main.minor]
        say(f"Python {main.label}; also found: {', '.join(others) or 'none'}; not found: {', '.join(absent) or 'none'}")
        for line in debian.install_missing(full=full):
            print(line, flush=True)
        total.add(run_checks(python))
    say(f"the whole suite on Python {main.label}" + (", heavy lanes too" if full else ""))
    total.add(run_pytest(python, "main", arguments))
    if not fast:
        total.add(run_other_pythons(found, main))
    return total


def report(total: Outcome) -> int:
    """Print the skips, then the sum alone on the last line; the exit status."""
    if total.skips:
        say("skipped, and why")
        for line in total.skips:
            print(line)
    print(f"\n{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return 1 if total.failed else 0


def main(argv: Sequence[str]) -> int:
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    arguments = [word for word in argv if word not in {"--full", "--fast"}]
    full = "--full" in argv or os.environ.get("TRACEHOUSE_FULL") == "1"
    os.environ["TRACEHOUSE_FULL"] = "1" if full else "0"
    try:
        total = run_all(full, "--fast" in argv or bool(arguments), arguments)
    except envs.SetupError as error:
        print(error, file=sys.stderr)
        total = Outcome(failed=1)
    return report(total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
