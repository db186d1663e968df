"""``tracehoused start``: the agent, in the background or here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import click

from tracehouse.exceptions import TracehouseError
from tracehoused.cli.common import agent_options, flags_of
from tracehoused.config import resolve
from tracehoused.service.daemon import Service
from tracehoused.service.logfile import tail
from tracehoused.service.pidfile import AgentProcess, PidFile

__all__ = ["detach", "start"]

_PATIENCE = 60.0
# not from the directory that the user happens to be in
_PROGRAM = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from tracehoused.cli.main import tracehoused; tracehoused(prog_name='tracehoused')"
)


@click.command()
@click.option("--foreground", is_flag=True, help="Stay in the terminal, log to standard error.")
@click.option("--ready-fd", type=int, hidden=True)
@agent_options
def start(foreground: bool, ready_fd: int | None, **options: Any) -> None:
    """Watch spools and upload what jobs write, in the background.

    With one agent running already it says so and exits with 0. SIGTERM ends it, SIGHUP makes it read its configuration again.
    """
    flags, words = flags_of(options)
    if foreground or ready_fd is not None:
        _serve(flags, words, ready_fd)
    else:
        detach(flags, words)


def _serve(flags: dict[str, object], words: list[str], ready_fd: int | None) -> None:
    told = [ready_fd] if ready_fd is not None else []

    def ready() -> None:
        while told:
            os.close(told.pop())
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)  # who waited for what is said there has gone
            os.close(nowhere)

    service = Service(flags, os.environ, words=words, terminal=ready_fd is None, ready=ready)
    if ready_fd is not None:
        os.chdir("/")
    try:
        other = service.run()
    except OSError as error:
        raise TracehouseError(f"the agent cannot run: {error}") from error
    if other is not None:
        click.echo(_running(other))


def detach(flags: dict[str, object], words: list[str]) -> None:
    """Start an agent that outlives this terminal, and wait until it watches; what went wrong is told here, with exit code 1."""
    settings = resolve(flags, environ=os.environ)
    other = PidFile(settings.state_dir).running()
    if other is not None:
        click.echo(_running(other))
        return
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "start", "--ready-fd", str(writing), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=[writing],
    )
    os.close(writing)
    os.read(reading, 1)  # its end: the agent is ready, or has ended
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = PidFile(settings.state_dir).running()
        if found is not None and found.pid:
            click.echo(f"tracehoused started, pid {found.pid}")
            click.echo(f"spools: {', '.join(found.spools)}")
            click.echo(f"log: {found.log_file}")
            return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    assert process.stderr is not None
    said = process.stderr.read().decode("utf-8", "replace").strip() if process.poll() is not None else ""
    click.echo(f"tracehoused did not start: {said or tail(settings.log_file)}", err=True)
    sys.exit(1)


def _running(other: AgentProcess) -> str:
    if not other.pid:
        return "tracehoused runs already"
    where = "" if other.is_here else f" on {other.host}"
    spools = ", ".join(other.spools)
    return f"tracehoused runs already{where}, pid {other.pid}, for {spools}; log: {other.log_file or 'its terminal'}"
