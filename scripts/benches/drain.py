"""How fast a spool is uploaded: to a server that does nothing, to one that takes its time, to the house."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benches.measure import Report, alternate, median, paired, rss_mb
from benches.procs import KEY, SCRIPTS, Worker, clean, house, null_server

NAMES = {"span": "spans", "metrics": "records of 4 points"}
LEAST = {"span": 250_000, "metrics": 100_000}
LEAST_HOUSE = {"span": 40_000, "metrics": 70_000}
SLOW = 0.005


def run(report: Report, home: Path) -> None:
    sizes = {"span": report.size(50_000, 200_000, 1_000_000), "metrics": report.size(25_000, 100_000, 500_000)}
    with Worker("spool_work") as filler:
        sessions = {kind: filler.ask("fill", spool=str(home / kind), kind=kind, count=n) for kind, n in sizes.items()}
    for kind, count in sizes.items():
        kept = home / f"{kind}.kept"
        _to_null(report, home, sessions[kind], kind, count, kept)
        _to_slow(report, home, sessions[kind], kind, kept)
        _to_house(report, home, sessions[kind], kind, count)
        _peak_of_sync(report, home, kind)
    _media(report, home)


def _to_null(report: Report, home: Path, session: str, kind: str, count: int, kept: Path) -> None:
    state = str(home / "state")
    with null_server("--keep", str(kept)) as address, Worker("drain_work") as warm:
        warm.ask("drain", session=session, address=address, state=state)
    with null_server() as address, Worker("drain_work") as ours, Worker("drain_work") as client:
        found, posted = alternate(
            report.size(3, 7),
            lambda: ours.ask("drain", session=session, address=address, state=state),
            lambda: client.ask("replay", kept=str(kept), address=address),
        )
    rates = [count / one["seconds"] for one in found]
    report.add(f"{NAMES[kind]} to a null server", "/s", median(rates), target=LEAST[kind], least=True)
    report.add(f"{NAMES[kind]}, CPU of the agent", "µs each", median(1e6 * one["cpu"] / count for one in found))
    posted_rate = median(count / one["seconds"] for one in posted)
    report.add(f"{NAMES[kind]}, the same bodies by the client alone", "/s", posted_rate)
    report.note(f"{NAMES[kind]}: {count} in {found[0]['batches']} requests, peak {found[-1]['peak']:.0f} MB")


def _to_slow(report: Report, home: Path, session: str, kind: str, kept: Path) -> None:
    state = str(home / "state")
    with null_server("--delay", str(SLOW)) as address, Worker("drain_work") as ours, Worker("drain_work") as client:
        found, posted = alternate(
            report.size(2, 5),
            lambda: ours.ask("drain", session=session, address=address, state=state)["seconds"],
            lambda: client.ask("replay", kept=str(kept), address=address)["seconds"],
        )
    more: dict[str, Any] = {"versus": "client alone", "target": 1.3, "ratio": paired(found, posted)}
    report.add(f"{NAMES[kind]}, to a server that takes 5 ms", "s", median(found), other=median(posted), **more)


def _to_house(report: Report, home: Path, session: str, kind: str, count: int) -> None:
    units = count * (4 if kind == "metrics" else 1)
    name = "points" if kind == "metrics" else "spans"
    rates = []
    for n in range(report.size(1, 3)):
        with house(home / f"house-{kind}-{n}") as (address, key), Worker("drain_work") as ours:
            done = ours.ask("drain", session=session, address=address, state=str(home / "state"), key=key)
            rates.append(units / done["seconds"])
    report.add(f"{name} to the house", "/s", median(rates), target=LEAST_HOUSE[kind], least=True)


def _peak_of_sync(report: Report, home: Path, kind: str) -> None:
    """The command itself, in a spool that no agent has seen."""
    with Worker("spool_work") as filler:
        filler.ask("fill", spool=str(home / "fresh" / kind), kind=kind, count=report.size(50_000, 200_000, 1_000_000))
    with null_server() as address:
        environ = clean(
            TRACEHOUSE_API_BASE=address,
            TRACEHOUSE_API_KEY=KEY,
            TRACEHOUSE_STATE_DIR=str(home / "state"),
            TRACEHOUSE_CONFIG_DIR=str(home / "state"),
        )
        command = [sys.executable, "-m", "tracehoused.cli", "sync", str(home / "fresh" / kind)]
        process = subprocess.Popen(
            [*command, "--api-base", address],
            cwd=SCRIPTS,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, rss_mb(process.pid, peak=True))
            time.sleep(0.02)
        if process.returncode:
            told = process.stdout.read()[-300:] if process.stdout else ""
            report.note(f"sync of {NAMES[kind]} ended with {process.returncode}: {told}")
    report.add(f"peak memory of `tracehouse sync`, {NAMES[kind]}", "MB", peak, target=60.0)


def _media(report: Report, home: Path) -> None:
    count = report.size(40, 200)
    with Worker("spool_work") as filler:
        session = filler.ask("fill", spool=str(home / "media"), kind="media", count=count)
    name = f"media, {count} files of 5 MB"
    versus: dict[str, Any] = {"versus": "client alone", "target": 0.8, "least": True}
    _media_to(report, session, f"{name}, checked by the server", ("--digest",), versus)
    _media_to(report, session, f"{name}, checked before", (), {"versus": "client that hashes"})


def _media_to(report: Report, session: str, name: str, server: tuple[str, ...], versus: dict[str, Any]) -> None:
    state = f"{session}-state"
    with null_server(*server) as address, Worker("drain_work") as ours, Worker("drain_work") as client:

        def drain() -> float:
            return float(ours.ask("drain", session=session, address=address, state=state)["seconds"])

        def post() -> float:
            told = client.ask("media", folder=f"{session}/media", address=address, hashed=not server)
            return float(told["seconds"])

        found, posted = alternate(report.size(2, 3), drain, post)
    mine, theirs = ([5 * report.size(40, 200) / seconds for seconds in side] for side in (found, posted))
    report.add(name, "MB/s", median(mine), other=median(theirs), ratio=paired(mine, theirs), **versus)
