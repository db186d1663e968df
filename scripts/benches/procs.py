"""Processes that work on request: one JSON object a line in, one a line out."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
KEY = "ba_bench000000000000000000000000"


def clean(**more: str) -> dict[str, str]:
    """The environment for a measured process: nothing of the user's settings, and bytecode is kept."""
    dropped = ("TRACEHOUSE_", "PYTHON", "WANDB_", "COMET_", "NEPTUNE_", "MLFLOW_", "OTEL_", "SWANLAB_", "TRACKIO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "TRACEHOUSE_SAVE_KEY": "0", **more}


class WorkerDied(Exception):
    """A worker ended without an answer; the message is the end of what it wrote to standard error."""


class Worker:
    """A child running ``python -m benches.<module>``, which calls ``serve``."""

    def __init__(self, module: str, *args: str, python: str = sys.executable, environ: Mapping[str, str] | None = None):
        self._errors = open(os.path.join(_folder(), f"{module}.log"), "a+b")  # noqa: SIM115 - lives as long as the child
        self.process = subprocess.Popen(
            [python, "-m", f"benches.{module}", *args],
            cwd=SCRIPTS,
            env=dict(environ) if environ is not None else clean(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.pid = self.process.pid

    def send(self, do: str, **what: Any) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerDied(self._last_words()) from None

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerDied(self._last_words())
        return json.loads(line)

    def ask(self, do: str, **what: Any) -> Any:
        self.send(do, **what)
        return self.answer()

    def _last_words(self) -> str:
        self.process.wait(10)
        self._errors.seek(0)
        return self._errors.read()[-1500:].decode(errors="replace")

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _folder() -> str:
    import tempfile

    folder = os.path.join(tempfile.gettempdir(), f"tracehouse-bench-{os.getuid()}")
    os.makedirs(folder, 0o700, exist_ok=True)
    return folder


def serve(handlers: Mapping[str, Callable[..., Any]]) -> None:
    """In the worker: answer requests until standard input ends. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        what = json.loads(line)
        answers.write(json.dumps(handlers[what.pop("do")](**what)) + "\n")
        answers.flush()


def together(workers: list[Worker], do: str, **what: Any) -> tuple[float, list[Any]]:
    """The same request to all at once: (seconds until the last one was done, answers)."""
    began = time.perf_counter()
    for worker in workers:
        worker.send(do, **what)
    answers = [worker.answer() for worker in workers]
    return time.perf_counter() - began, answers


@contextlib.contextmanager
def null_server(*args: str) -> Iterator[str]:
    """A server in a process of its own that takes everything; gives its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benches.nullserver", *args], cwd=SCRIPTS, env=clean(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def house(data: Path) -> Iterator[tuple[str, str]]:
    """A house in a process of its own: (address, key)."""
    data.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "tracehoused.cli", "serve", "--port", str(port), "--data", str(data / "house")]
    with (data / "log").open("w+") as log:
        process = subprocess.Popen(command, cwd=SCRIPTS, env=clean(), stdout=log, stderr=log)
        try:
            until = time.monotonic() + 60
            while "listening on" not in (data / "log").read_text():
                if process.poll() is not None or time.monotonic() > until:
                    raise WorkerDied((data / "log").read_text()[-1500:])
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}", (data / "house" / "house.key").read_text().strip()
        finally:
            process.terminate()
            process.wait()
