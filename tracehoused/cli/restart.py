"""``tracehoused restart``."""

from __future__ import annotations

import os
import sys

import click

from tracehoused.cli.common import agent_options, flags_of
from tracehoused.cli.start import detach
from tracehoused.cli.start import start as start_command
from tracehoused.cli.stop import end
from tracehoused.config import resolve
from tracehoused.service.pidfile import PidFile

__all__ = ["restart"]


@click.command()
@agent_options
def restart(**options: object) -> None:
    """End the agent and start it again, with the options it had unless others are given."""
    flags, words = flags_of(options)
    agent = PidFile(resolve(environ=os.environ).state_dir).running()
    if agent is not None:
        if agent.manager:
            click.echo(
                f"it was started by {agent.manager}: `systemctl restart` it (with --user, if it is yours)", err=True
            )
            sys.exit(1)
        end(agent)
        if not words:
            with start_command.make_context("start", list(agent.words)) as context:
                flags, words = flags_of(context.params)
    detach(flags, words)
