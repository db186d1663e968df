"""The same work through other packages, each in an environment of its own: what a call costs, and what a SIGKILL loses."""

from __future__ import annotations

import contextlib
import re
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches.measure import Report, median
from benches.peer_work import BASE
from benches.procs import Worker, WorkerDied, clean, null_server
from benches.start import PUBLISHED
from benches.venvs import InstallError, package_venv

# name in peer_work, its requirements; none: this environment
PACKAGES: dict[str, tuple[str, ...]] = {
    "tracehouse": (),
    "tracehouse, flush() after each": (),
    "published tracehouse-sdk": (PUBLISHED,),
    "trackio": ("trackio",),
    "swanlab offline": ("swanlab",),
    "wandb offline": ("wandb",),
    "comet offline": ("comet_ml",),
    "neptune-scale offline": ("neptune-scale",),
    "tensorboardX": ("tensorboardX",),
    "mlflow, files": ("mlflow-skinny",),
    "OpenTelemetry simple, file": ("opentelemetry-sdk",),
    "OpenTelemetry batch, file": ("opentelemetry-sdk",),
    "langfuse": ("langfuse",),
}
KINDS = {"metric": "4 floats", "span": "a span of 200 bytes"}
LINGER = 3.0  # seconds that a package's own helper process has to write on after the kill


@dataclass(frozen=True)
class Peer:
    name: str
    python: str
    kinds: list[str]


def run(report: Report, home: Path) -> None:
    with null_server() as address:
        peers = [peer for name in PACKAGES if (peer := _ready(report, home, address, name))]
        for kind in KINDS:
            _costs(report, home, address, [peer for peer in peers if kind in peer.kinds], kind)
            for peer in peers:
                if kind in peer.kinds:
                    _survivors(report, home, address, peer, kind)


def _ready(report: Report, home: Path, address: str, name: str) -> Peer | None:
    try:
        requirements = PACKAGES[name]
        venv = re.sub(r"[^a-zA-Z]+", "-", requirements[0].partition("=")[0]) if requirements else ""
        python = str(package_venv(venv, *requirements)) if requirements else sys.executable
        with _worker(home, address, Peer(name, python, [])) as worker:
            return Peer(name, python, worker.ask("begin"))
    except (InstallError, WorkerDied) as error:
        report.note(f"LEFT OUT {name}: {' '.join(str(error).split())[-300:]}")
        return None


def _worker(home: Path, address: str, peer: Peer) -> Worker:
    folder = _folder(home, peer)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    environ = clean(
        HOME=str(folder),
        TMPDIR=str(folder / "tmp"),
        XDG_CACHE_HOME=str(folder / "cache"),
        TRACKIO_DIR=str(folder / "trackio"),
        WANDB_SILENT="true",
        DO_NOT_TRACK="1",
        HF_HUB_OFFLINE="1",
    )
    return Worker("peer_work", peer.name, str(folder), address, python=peer.python, environ=environ)


def _folder(home: Path, peer: Peer) -> Path:
    return home / re.sub(r"[^a-zA-Z]+", "-", peer.name)


def _costs(report: Report, home: Path, address: str, peers: list[Peer], kind: str) -> None:
    """Round by round through all of them, so that what disturbs the machine disturbs all."""
    rounds, count = report.size(3, 8), report.size(200, 500)
    found: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
    with contextlib.ExitStack() as stack:
        workers = {}
        for peer in peers:
            workers[peer.name] = stack.enter_context(_worker(home, address, peer))
            workers[peer.name].ask("begin")
        for n in range(rounds + 1):
            for name, worker in workers.items():
                result = worker.ask("burst", kind=kind, first=n * count, count=count, seconds=3.0)
                if n:
                    found[name].append(result)
    ours = median(one["p50"] for one in found.get("tracehouse", [{"p50": 0.0}]))
    for name, results in found.items():
        p50 = median(one["p50"] for one in results)
        if not (PACKAGES[name] and ours):
            report.add(f"{name}, {KINDS[kind]}: p50", "µs", p50)
        else:
            report.add(f"{KINDS[kind]}: p50, against {name}", "µs", ours, other=p50, versus="", target=1.0)


def _survivors(report: Report, home: Path, address: str, peer: Peer, kind: str) -> None:
    if not _is_found(home, address, peer, kind):
        report.note(f"{peer.name}: what survives is not counted, for it is not found in files after a clean end either")
        return
    for what, usual, rate in (("a burst", 5000, 0.0), ("200 calls/s", 600, 200.0)):
        count = usual // 5 if report.quick else usual
        worker = _worker(home, address, peer)
        worker.ask("begin")
        worker.send("killed", kind=kind, count=count, rate=rate)
        with contextlib.suppress(WorkerDied):
            worker.answer()
        with contextlib.suppress(BrokenPipeError):
            worker.close()
        time.sleep(LINGER)
        folder = _folder(home, peer)
        returned = (folder / "returned").stat().st_size
        held = len([n for n in numbers(folder, kind) if n < returned])
        more: dict[str, Any] = {"target": 0} if peer.name.startswith("tracehouse") else {}
        report.add(f"{peer.name}, {KINDS[kind]}: lost of {returned} in {what}", "", returned - held, **more)


def _is_found(home: Path, address: str, peer: Peer, kind: str) -> bool:
    """Whether the records of a process that ends as it should are found where those of a killed one will be looked for."""
    count = 100
    with _worker(home, address, peer) as worker:
        worker.ask("begin")
        worker.ask("burst", kind=kind, first=0, count=count)
    time.sleep(LINGER)
    return len([n for n in numbers(_folder(home, peer), kind) if n < count]) == count


_MARK = re.compile(rb"mark-(\d{6})")
_DECIMAL = re.compile(rb"(10\d{5})\.3333")
_EXPONENT = re.compile(rb"1\.(\d{6})3333\d*e\+0?6")
_BIG = re.compile(rb"\x41[\x30-\x3f][\s\S]{2}(?=\x55{4})")
_LITTLE = re.compile(rb"\x55{4}([\s\S]{2}[\x30-\x3f]\x41)")
_SINGLE = re.compile(rb"\x15([\s\S]{2}[\x80-\xff]\x49)")


def numbers(folder: Path, kind: str) -> set[int]:
    """The numbers of all records that are found in any file there, as text or as a float of 8 or 4 bytes."""
    found: set[int] = set()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        for data in _contents(path):
            found |= _numbers_in(data, kind)
    return {number for number in found if number >= 0}


def _contents(path: Path) -> Iterator[bytes]:
    if not zipfile.is_zipfile(path):
        yield path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield archive.read(name)


def _numbers_in(data: bytes, kind: str) -> set[int]:
    if kind == "span":
        return {int(number) for number in _MARK.findall(data)}
    found = {int(number) - BASE for number in _DECIMAL.findall(data)}
    found |= {1_000_000 + int(number) - BASE for number in _EXPONENT.findall(data)}
    found |= {int(struct.unpack(">d", part + b"\x55" * 4)[0]) - BASE for part in _BIG.findall(data)}
    found |= {int(struct.unpack("<d", b"\x55" * 4 + part)[0]) - BASE for part in _LITTLE.findall(data)}
    return found | {int(struct.unpack("<f", part)[0]) - BASE for part in _SINGLE.findall(data)}
