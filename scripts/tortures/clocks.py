"""Row 10: clocks that jump by days, stand beyond 2038, or change to and from summer time, under jobs and under the agent."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

from tests.support import oracle
from tests.support.home import Held
from tests.support.house import ROOT, House
from tortures import places
from tortures.trial import Trial, Unavailable

TITLE = "clock jumps of days, the year 2038, summer time"
COUNT = 20
_JOB = """
work = Work(book, sys.argv[2], "a", sys.argv[2])
def jump(n):
    if n in (10, 20):
        with open(sys.argv[3], "w") as file: file.write(sys.argv[4 + (n == 20)])
work.some(30, jump)
work.finish()
"""
_LIVE = """
work = Work(book, sys.argv[2], "a", sys.argv[2])
work.some(20)
print("ready", flush=True)
sys.stdin.readline()
work.some(20, start=20)
work.finish()
"""
JUMPS = ("+2d", "-2d", "+0", "@2038-01-19 03:14:05", "@2039-07-01 00:00:00", "@1970-01-02 00:00:00", "+400d", "-30y")
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe")
_SUMMER = ("@2026-03-08 06:59:58", "@2026-11-01 05:59:58")


def run(trial: Trial) -> None:
    if shutil.which("faketime") is None:
        raise Unavailable("needs faketime")
    with places.a_house(trial) as house:
        for number, chance in trial.points():
            point = _live if number % 3 == 2 else _jumping
            point(trial, house, number, chance)


def _jumping(trial: Trial, house: House, number: int, chance: random.Random) -> None:
    """The clock jumps twice while the job runs."""
    home = places.place(trial.home / str(number), house)
    ledger, name = trial.home / f"{number}.ledger", f"clock-{trial.seed}-{number}"
    jumps = [chance.choice(JUMPS + _SUMMER) for _ in range(3)]
    clock = trial.home / f"{number}.clock"
    clock.write_text(jumps[0])
    more = {**faked(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "TZ": chance.choice(ZONES)}
    words = (str(ledger), name, str(clock), *jumps[1:])
    process = home.start_job(places.WORK + _JOB, *words, prefix=(), **more)
    _, err = process.communicate(timeout=100)
    trial.require(
        process.returncode == 0, number, f"jumps {jumps}: the job ended with {process.returncode}: {err[-800:]}"
    )
    places.check_sync(trial, number, places.sync_until_done(home))
    places.check_verify(trial, number, home)
    _check(trial, house, number, oracle.Account().add(ledger), name, f"jumps {jumps}:")


def _live(trial: Trial, house: House, number: int, chance: random.Random) -> None:
    """The job's clock is right, the agents' are not: the job lives on for all of them, and nothing of it is deleted."""
    home = places.place(trial.home / str(number), house)
    ledger, name = trial.home / f"{number}.ledger", f"clock-{trial.seed}-{number}"
    job = home.start_job(places.WORK + _LIVE, str(ledger), name)
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    jumps = [chance.choice(JUMPS) for _ in range(2)]
    for jump in jumps:
        done = home.sync(**faked(), FAKETIME=jump)
        places.check_sync(trial, number, done, code=None)
        with Held(house) as there:
            held = [one["status"] for one in there.runs() if one["client_run_id"] == name]
        trial.require(
            held == ["running"], number, f"for an agent at {jump} the living run is {held}: {done.err[-400:]}"
        )
    _, err = job.communicate("\n", timeout=60)
    trial.require(job.returncode == 0, number, err[-400:])
    places.check_sync(trial, number, places.sync_until_done(home))
    for jump in jumps:
        places.run_once(home, **faked(), FAKETIME=jump)
        kept = [session.name for session in home.sessions() if any(session.glob("*.jsonl"))]
        trial.require(len(kept) == len(home.sessions()), number, f"for an agent at {jump} only {kept} were kept")
    _check(trial, house, number, oracle.Account().add(ledger), name, f"agents at {jumps}:")


def _check(trial: Trial, house: House, number: int, account: oracle.Account, name: str, where: str) -> None:
    trial.add(number, places.verdict(house, name, account), where)
    with Held(house) as there:
        status = there.run(name)["status"]
    trial.require(status == "finished", number, f"{where} the run is {status}")


def faked() -> dict[str, str]:
    """What ``faketime`` itself sets: its library, before all others; monotonic clocks stay true."""
    shown = subprocess.run(["faketime", "-m", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    preload = next(line for line in shown.splitlines() if line.startswith("LD_PRELOAD="))
    return {
        "LD_PRELOAD": preload.partition("=")[2],
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # libfaketime refuses the sleep of Python 3.11 and later, not that of earlier ones: see the file there
        "PYTHONPATH": f"{Path(__file__).with_name('sleeping')}:{ROOT}",
    }
