"""The same records from the same files to the same server, by programs that ship log files, and logged by the published SDK.

What each is measured by is what the server sees: spans after its first request, over the time until the last. So nobody's start counts.
Beside it, what each took of the processor for a span (of ours, the pass alone): the figure that a busy machine disturbs least.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benches.agents import cpu_seconds
from benches.measure import Report, median
from benches.procs import KEY, Worker, WorkerDied, clean, null_server
from benches.start import PUBLISHED
from benches.venvs import InstallError, package_venv

Cost = Callable[[], float]  # CPU seconds until now
Ship = Callable[[str, Path], contextlib.AbstractContextManager[Cost]]
SECONDS = 120.0  # after which a shipper counts as stuck

_SYSLOG_NG = """@version: 3.35
options {{ stats-freq(0); keep-hostname(yes); }};
source s {{ file("{lines}" follow-freq(0.1) read-old-records(yes) flags(no-parse) log-msg-size(1048576)
  log-fetch-limit(10000) log-iw-size(100000)); }};
destination d {{ http(url("{address}/ingest") method("POST") body("$MSG")
  batch-lines(1000) batch-bytes(900000) batch-timeout(100) workers(1) log-fifo-size(200000)); }};
log {{ source(s); destination(d); flags(flow-control); }};
"""
# Debian's has this way of posting over HTTP alone
_RSYSLOG = """global(workDirectory="{folder}")
module(load="imfile")
module(load="omelasticsearch")
template(name="line" type="string" string="%rawmsg%")
main_queue(queue.size="200000" queue.dequeueBatchSize="1000")
input(type="imfile" File="{lines}" Tag="x" ruleset="out" MaxLinesAtOnce="0")
ruleset(name="out" queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="1000") {{
  action(type="omelasticsearch" server="{host}" serverport="{port}" bulkmode="on" maxbytes="900k" template="line")
}}
"""


def run(report: Report, home: Path) -> None:
    count, rounds = report.size(50_000, 200_000, 1_000_000), report.size(1, 5)
    with Worker("spool_work") as filler:
        session = filler.ask("fill", spool=str(home / "spool"), kind="span", count=count)
    lines = home / "lines"
    with lines.open("wb") as whole:
        for segment in sorted(Path(session).glob("*.jsonl")):
            whole.write(segment.read_bytes())
    ways: dict[str, Ship] = {
        "ours": lambda address, _: _ours(session, address, str(home / "state")),
        "syslog-ng": lambda address, folder: _syslog_ng(lines, address, folder),
        "rsyslog": lambda address, folder: _rsyslog(lines, address, folder),
    }
    for name, program in (("syslog-ng", "syslog-ng"), ("rsyslog", "rsyslogd")):
        if shutil.which(program) is None:
            report.note(f"LEFT OUT {name}: no {program} here (Debian: syslog-ng-mod-http, rsyslog-elasticsearch)")
            del ways[name]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for n in range(rounds):
        for name in list(ways):
            try:
                found[name].append(_ship(home / f"{name}-{n}", count, ways[name]))
            except WorkerDied as error:
                report.note(f"LEFT OUT {name}: {' '.join(str(error).split())[-300:]}")
                del ways[name]
    _published(report, home, found)
    _add(report, f"{count:,} spans from files to a null server", found)


def _add(report: Report, what: str, found: dict[str, list[tuple[float, float]]]) -> None:
    rate, cpu = map(median, zip(*found.pop("ours")))
    for name, measured in found.items():
        if measured:
            its_rate, its_cpu = map(median, zip(*measured))
            more = {"versus": "", "target": 1.0}
            report.add(f"{what}, against {name}", "/s", rate, other=its_rate, least=True, **more)
            report.add(f"{what}, CPU, against {name}", "µs each", cpu, other=its_cpu, **more)


def _published(report: Report, home: Path, found: dict[str, list[tuple[float, float]]]) -> None:
    """Its calls are its uploads, at a few thousand a second: so many less are enough."""
    name, count = "published tracehouse-sdk", 2000

    @contextlib.contextmanager
    def log(address: str, folder: Path) -> Iterator[Cost]:
        with Worker("peer_work", name, str(folder), address, python=python, environ=clean(HOME=str(folder))) as worker:
            worker.ask("begin")
            before = cpu_seconds(worker.pid)
            worker.ask("burst", kind="span", first=0, count=count)
            yield lambda: cpu_seconds(worker.pid) - before

    try:
        python = str(package_venv("tracehouse-sdk", PUBLISHED))
        found[name] = [_ship(home / "published", count, log)]
    except (InstallError, WorkerDied) as error:
        report.note(f"LEFT OUT {name}: {' '.join(str(error).split())[-300:]}")


def _ship(folder: Path, count: int, ship: Ship) -> tuple[float, float]:
    """(spans a second, CPU in µs for each); WorkerDied when they do not all arrive."""
    folder.mkdir()
    times = folder / "times"
    with null_server("--times", str(times)) as address, ship(address, folder) as cost:
        until = time.monotonic() + SECONDS
        while _spans(found := _told(times)) < count:
            if time.monotonic() > until:
                raise WorkerDied(f"not all arrived in {SECONDS:.0f} s")
            time.sleep(0.05)
        cpu = cost()
    (first, began), (_, ended) = found[0], found[-1]
    return (_spans(found) - first) / ((ended - began) / 1e9), 1e6 * cpu / count


def _told(times: Path) -> list[tuple[int, int]]:
    lines = times.read_text(encoding="ascii").splitlines(keepends=True) if times.exists() else []
    pairs = (line.split() for line in lines if line.endswith("\n"))
    return [(int(spans), int(at)) for spans, at in pairs]


def _spans(told: list[tuple[int, int]]) -> int:
    return sum(spans for spans, _ in told)


@contextlib.contextmanager
def _ours(session: str, address: str, state: str) -> Iterator[Cost]:
    with Worker("drain_work") as worker:
        told = worker.ask("drain", session=session, address=address, state=state, key=KEY)
        yield lambda: float(told["cpu"])


@contextlib.contextmanager
def _syslog_ng(lines: Path, address: str, folder: Path) -> Iterator[Cost]:
    config = folder / "conf"
    config.write_text(_SYSLOG_NG.format(lines=lines, address=address))
    options = ["--no-caps", "-R", f"{folder}/persist", "-c", f"{folder}/control", "-p", f"{folder}/pid"]
    with _running(["syslog-ng", "-F", "-f", str(config), *options], folder) as cost:
        yield cost


@contextlib.contextmanager
def _rsyslog(lines: Path, address: str, folder: Path) -> Iterator[Cost]:
    config = folder / "conf"
    host, _, port = address.rpartition("/")[2].partition(":")
    config.write_text(_RSYSLOG.format(lines=lines, folder=folder, host=host, port=port))
    with _running(["rsyslogd", "-n", "-f", str(config), "-i", f"{folder}/pid"], folder) as cost:
        yield cost


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Iterator[Cost]:
    with (folder / "out").open("w+") as out:
        process = subprocess.Popen(command, cwd=folder, env=dict(os.environ), stdout=out, stderr=out)
        try:
            time.sleep(0.2)
            if process.poll() is not None:
                raise WorkerDied((folder / "out").read_text()[-1000:])
            yield lambda: cpu_seconds(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
