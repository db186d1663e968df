"""``tracehoused stop``."""

from __future__ import annotations

import os
import signal
import sys
import time

import click

from tracehoused.config import resolve
from tracehoused.service.pidfile import AgentProcess, PidFile

__all__ = ["end", "stop"]

_PAUSE = 0.05


@click.command()
@click.option("--drain", is_flag=True, help="Let it upload all there is first.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds to wait; 60, or with --drain as long as it takes.")
def stop(drain: bool, timeout: float | None) -> None:
    """End the agent: it finishes the requests under way. Nothing is lost by stopping it, in whatever way."""
    pidfile = PidFile(resolve(environ=os.environ).state_dir)
    agent = pidfile.running()
    if agent is None:
        click.echo(f"tracehoused does not run: {pidfile.last()}")
        return
    end(agent, drain=drain, timeout=timeout)
    if pidfile.running() == agent:
        click.echo("it runs where it cannot be reached from here, as in another container: stop it there", err=True)
        sys.exit(1)
    click.echo(f"tracehoused stopped, pid {agent.pid}")


def end(agent: AgentProcess, *, drain: bool = False, timeout: float | None = None) -> None:
    """Stop it and wait until it has ended; exit code 1 when that cannot be done from here."""
    if not agent.is_here:
        click.echo(f"it runs on {agent.host or 'another machine'}: stop it there", err=True)
        sys.exit(1)
    agent.signal(signal.SIGUSR1 if drain else signal.SIGTERM)
    if drain and not _ended(agent, timeout):
        click.echo("not everything is uploaded yet: stopping all the same", err=True)
        agent.signal(signal.SIGTERM)
        timeout = None
    if not _ended(agent, 60.0 if timeout is None else timeout):
        click.echo("it does not end: killing it, which loses nothing", err=True)
        agent.signal(signal.SIGKILL)
        _ended(agent, 10.0)


def _ended(agent: AgentProcess, timeout: float | None) -> bool:
    deadline = None if timeout is None else time.monotonic() + timeout
    while agent.is_alive:
        if deadline is not None and time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True
