"""``tracehoused run-once``: for cron."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from tracehouse.exceptions import TracehouseError
from tracehoused.cli.common import agent_options, flags_of
from tracehoused.service.daemon import Service

__all__ = ["run_once"]


@click.command("run-once")
@agent_options
def run_once(**options: Any) -> None:
    """Upload what there is, with one try for each session, see to retention, and exit: for cron.

    Exit code 0: nothing is left, or an agent runs that sees to it; 1: something is left for the next time.
    """
    flags, words = flags_of(options)
    try:
        other, complete = Service(flags, os.environ, words=words, terminal=True).run_once()
    except OSError as error:
        raise TracehouseError(f"the agent cannot run: {error}") from error
    if other is not None:
        click.echo(f"tracehoused runs already, pid {other.pid}")
        return
    sys.exit(0 if complete else 1)
