"""``tracehoused status``: whether the agent runs, and what it is about."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import click

from tracehoused.cli.progress import human
from tracehoused.config import resolve
from tracehoused.service import snapshot
from tracehoused.service.pidfile import AgentProcess, PidFile
from tracehoused.text import printable

__all__ = ["status"]

_PATIENCE = 2.0


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(as_json: bool) -> None:
    """Whether the agent runs, for which spools, and how far it is. Exit code 3 when it does not run.

    `tracehouse status` shows the sessions themselves. What --json prints is {"running": …, "agent": …}; `python -m pydoc
    tracehoused.service.snapshot` tells the fields of the latter, which is null when none ever ran.
    """
    state_dir = resolve(environ=os.environ).state_dir
    pidfile = PidFile(state_dir)
    agent = pidfile.running()
    found = _fresh(state_dir, agent)
    if as_json:
        click.echo(json.dumps({"running": agent is not None, "agent": found}))
    else:
        _tell(pidfile, agent, found)
    sys.exit(0 if agent is not None else 3)


def _fresh(state_dir: str, agent: AgentProcess | None) -> dict[str, Any] | None:
    """The agent's snapshot as of now, if it answers; else its last one."""
    before = snapshot.read(state_dir)
    if agent is None or not agent.is_here or not agent.signal(signal.SIGUSR2):
        return before
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = snapshot.read(state_dir)
        if found is not None and (before is None or found["at"] != before["at"]) and found["pid"] == agent.pid:
            return found
        time.sleep(0.01)
    return before


def _tell(pidfile: PidFile, agent: AgentProcess | None, found: dict[str, Any] | None) -> None:
    if agent is None:
        click.echo(f"tracehoused does not run: {pidfile.last()}; start it with `tracehoused start`")
    else:
        where = "" if agent.is_here else f" on {agent.host}"
        click.echo(f"tracehoused runs{where}, pid {agent.pid}, since {agent.since}")
        click.echo(f"log: {agent.log_file or 'its terminal, or the journal'}")
    if found is None:
        return
    if agent is None:
        click.echo(f"as of {found['at']}:")
    for spool in found["spools"]:
        how = " (polled: no file events there)" if spool["polled"] else ""
        size = f"{human(spool['bytes'])} in {spool['sessions']:,} sessions"
        click.echo(f"spool {printable(spool['path'])}: {size}{how}{_aside(spool['problem'])}")
    counts = found["sessions"]
    click.echo(
        ", ".join(f"{counts[name]:,} {name}" for name in counts if name != "total" and counts[name]) or "no sessions"
    )
    if found["oldest_unacknowledged"] is not None:
        records = f"{found['records_pending']:,} records wait, " if found.get("records_pending") else ""
        click.echo(f"{records}the longest wait is {found['oldest_unacknowledged']:,.0f} s")
    if found["dead_letters"]:
        click.echo(f"{found['dead_letters']:,} records were refused: see `tracehouse deadletters list`")
    if found.get("dropped"):
        click.echo(f"{found['dropped']:,} records could not be written by their jobs: see `tracehouse status`")
    if found["problem"]:
        click.echo(found["problem"])
    for trouble in found["troubles"]:
        click.echo(f"  {os.path.basename(trouble['session'])}: {trouble['state']}: {printable(trouble['trouble'])}")


def _aside(problem: str) -> str:
    return f" — {problem}" if problem else ""
