"""Row 10: clocks that jump by days, stand beyond 2038, or change to and from summer time, under jobs and under agents as they run.

It is libfaketime that has them jump, in one process: what a process asks for the time is false; the kernel, its file times and its
monotonic clocks, and so every other process, stay right.
"""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from zoneinfo import ZoneInfo

from tests.support import jobs, oracle
from tests.support.home import Held, Home
from tests.support.house import House
from tortures import clock_agents, places
from tortures.false_clocks import LEEWAY, faked, following, seconds, shown
from tortures.trial import Trial, Unavailable

__all__ = ["COUNT", "TITLE", "faked", "run"]

TITLE = "clock jumps of days, the year 2038, summer time"
COUNT = 28
_JOB = """
work = Work(book, sys.argv[2], "a", sys.argv[2])
def jump(n):
    if n in (10, 20):
        with open(sys.argv[3], "w") as file: file.write(sys.argv[4 + (n == 20)])
work.some(30, jump)
work.finish()
"""
# logs from less than two seconds before the change on, until a while after it
_SUMMER_JOB = """
import time
work = Work(book, sys.argv[2], "a", sys.argv[2])
def turn(seconds):
    with open(sys.argv[3], "w") as file: file.write(time.strftime("@%Y-%m-%d %H:%M:%S", time.localtime(seconds)))
day = time.mktime(time.strptime(sys.argv[4], "%Y-%m-%d"))
change = next(day + 1800 * n for n in range(48) if time.localtime(day + 1800 * n).tm_isdst != time.localtime(day).tm_isdst)
turn(day)
begun = time.time() - day  # the false clock goes on from where the process began
turn(change - begun - 1)
before, n, left = time.localtime().tm_isdst, 0, 10
work.point(10_000)
while left:
    work.some(1, start=n)
    n += 1
    left -= time.localtime().tm_isdst != before
    time.sleep(0.02)
work.point(10_001)
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
# these, and all below, are taken in turn
JUMPS = ("+2d", "-2d", "@2038-01-19 03:14:05", "@2039-07-01 00:00:00", "@1970-01-02 00:00:00", "+400d", "-30y")
_LOGGED = re.compile(r"^(\d{4}-\S+Z) ", re.MULTILINE)  # what each line of an agent's log begins with
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe")
# when summer time begins, or ends
CHANGES = (
    ("America/New_York", "2026-03-08"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-10-04"),
)


def run(trial: Trial) -> None:
    if shutil.which("faketime") is None:
        raise Unavailable("needs faketime")
    with places.a_house(trial) as house:
        for number, _ in trial.points():
            _POINTS[number % len(_POINTS)](trial, house, number, number // len(_POINTS))


def _jumps(turn: int, count: int) -> list[str]:
    return [JUMPS[(turn * count + n) % len(JUMPS)] for n in range(count)]


def _jumping(trial: Trial, house: House, number: int, turn: int) -> None:
    """The clock jumps twice while the job runs."""
    jumps, zone = _jumps(turn, 3), ZONES[turn % len(ZONES)]
    times = _times(_job(trial, house, number, _JOB, jumps, zone))
    false = [step for step, at in times.items() if abs(at - shown(jumps[step // 10])) > LEEWAY]
    met = {step // 10 for step in times} == {0, 1, 2}
    trial.require(met and not false, number, f"clock {jumps}, {zone}: of {times} at other times: {false}")


def _summer(trial: Trial, house: House, number: int, turn: int) -> None:
    """Summer time begins, or ends, while the job runs."""
    zone, day = CHANGES[turn % len(CHANGES)]
    times = _times(_job(trial, house, number, _SUMMER_JOB, ["+0", day], zone))
    there = [datetime.fromtimestamp(at, ZoneInfo(zone)) for at in times.values()]
    on_day = {f"{one:%Y-%m-%d}" for one in there} == {day}
    offsets = {one.utcoffset() for one in there}
    trial.require(on_day and len(offsets) == 2, number, f"{zone}, {day}: no change seen: {there}")


def _times(home: Home) -> dict[int, float]:
    """When each step was logged, as its record says."""
    return {
        data["step"]: seconds(data["wall_time"])
        for session in home.sessions()
        for data in jobs.of_type(session, "metrics")
    }


def _job(trial: Trial, house: House, number: int, script: str, clocks: list[str], zone: str) -> Home:
    """A job whose clock is as the first of these says, then as it makes it out of the others; where it was."""
    home = places.place(trial.home / str(number), house)
    ledger, name = trial.home / f"{number}.ledger", f"clock-{trial.seed}-{number}"
    clock = trial.home / f"{number}.clock"
    clock.write_text(clocks[0])
    process = home.start_job(
        places.WORK + script, str(ledger), name, str(clock), *clocks[1:], prefix=(), **following(clock), TZ=zone
    )
    _, err = process.communicate(timeout=100)
    where = f"clock {clocks}, {zone}:"
    trial.require(process.returncode == 0, number, f"{where} the job ended with {process.returncode}: {err[-800:]}")
    places.check_sync(trial, number, places.sync_until_done(home))
    places.check_verify(trial, number, home)
    _check(trial, house, number, oracle.Account().add(ledger), name, where)
    return home


def _live(trial: Trial, house: House, number: int, turn: int) -> None:
    """The job's clock is right, the agents' are not: the job lives on for all of them, and nothing of it is deleted."""
    home = places.place(trial.home / str(number), house)
    ledger, name = trial.home / f"{number}.ledger", f"clock-{trial.seed}-{number}"
    job = home.start_job(places.WORK + _LIVE, str(ledger), name)
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    jumps = _jumps(turn, 2)
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
        done = places.run_once(home, **faked(), FAKETIME=jump)
        times = [seconds(text) for text in _LOGGED.findall(done.err)]
        true = times and all(abs(at - shown(jump)) < LEEWAY for at in times)
        trial.require(bool(true), number, f"an agent at {jump} logs at {times}")
        _check_kept(trial, number, home, f"for an agent at {jump}")
    _check(trial, house, number, oracle.Account().add(ledger), name, f"agents at {jumps}:")


def _running(trial: Trial, house: House, number: int, turn: int) -> None:
    """The agent's clock jumps while it runs, the job's is right."""
    ledger, name = trial.home / f"{number}.ledger", f"clock-{trial.seed}-{number}"
    jumps = _jumps(turn, clock_agents.JUMPS)
    with clock_agents.Gate(house.url) as gate:
        home = clock_agents.run(trial, house, gate, number, jumps, ledger, name)
        places.check_sync(trial, number, places.sync_until_done(home))
        places.check_verify(trial, number, home)
    _check_kept(trial, number, home, f"for an agent that jumps {jumps}")
    _check(trial, house, number, oracle.Account().add(ledger), name, f"an agent that jumps {jumps}:")


def _check_kept(trial: Trial, number: int, home: Home, where: str) -> None:
    kept = [session.name for session in home.sessions() if any(session.glob("*.jsonl"))]
    trial.require(len(kept) == len(home.sessions()), number, f"{where} only {kept} were kept")


def _check(trial: Trial, house: House, number: int, account: oracle.Account, name: str, where: str) -> None:
    trial.add(number, places.verdict(house, name, account), where)
    with Held(house) as there:
        status = there.run(name)["status"]
    trial.require(status == "finished", number, f"{where} the run is {status}")


_POINTS = (_jumping, _summer, _live, _running)
