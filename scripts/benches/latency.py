"""From the call in the job until the server has the record."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from benches.agents import agent
from benches.measure import Report, fsync_ms, median, quantile
from benches.procs import KEY, Worker, clean, house, null_server

_LOGGED = re.compile(rb'"text":"t=(\d+)"')
RATE = 50.0


def run(report: Report, home: Path) -> None:
    report.add("fdatasync of 4 KiB on this disk", "ms", fsync_ms(str(home)))
    for sessions in (1, 100):
        where = home / f"null-{sessions}"
        where.mkdir()
        with null_server("--keep", str(where / "kept")) as address:
            _measure(report, where, address, KEY, sessions, "a null server")
        where = home / f"house-{sessions}"
        where.mkdir()
        kept = ("--keep", str(where / "kept"))
        with house(where / "house") as (real, key), null_server(*kept, "--forward", real) as address:
            _measure(report, where, address, key, sessions, "the house")


def _measure(report: Report, where: Path, address: str, key: str, sessions: int, to: str) -> None:
    environ = clean(
        TRACEHOUSE_API_BASE=address,
        TRACEHOUSE_API_KEY=key,
        TRACEHOUSE_STATE_DIR=str(where / "state"),
        TRACEHOUSE_CONFIG_DIR=str(where / "config"),
    )
    spool = where / "spool"
    spool.mkdir()
    job = Worker("latency_work", str(spool), str(sessions), environ=environ)
    with agent(spool, environ, where / "agent.log"), job:
        job.ask("warm")
        _arrived(where / "kept", b'"text":"warm"', sessions)
        count = job.ask("log", seconds=report.size(4, 15, 60), rate=RATE)
        _arrived(where / "kept", b'"text":"t=', count)
    taken = _latencies(where / "kept")
    name = f"append to {to}, {sessions} live session{'s' if sessions > 1 else ''}"
    report.add(f"{name}: median", "ms", median(taken), target=100.0)
    report.add(f"{name}: p99", "ms", quantile(taken, 0.99), target=1000.0)


def _arrived(kept: Path, text: bytes, count: int) -> None:
    until = time.monotonic() + 60
    while (found := kept.read_bytes().count(text)) < count:
        if time.monotonic() > until:
            raise RuntimeError(f"{found} of {count} records arrived in 60 s")
        time.sleep(0.1)


def _latencies(kept: Path) -> list[float]:
    """In ms; the monotonic clock is one for all processes of a machine."""
    taken = []
    with kept.open("rb") as file:
        while line := file.readline():
            told = json.loads(line)
            body = file.read(told["size"])
            taken += [(told["at"] - int(logged)) / 1e6 for logged in _LOGGED.findall(body)]
    return taken
