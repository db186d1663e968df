"""``tracehoused start``: the agent."""

from __future__ import annotations

import logging
import os
import signal
import sys

import click

from tracehoused.agent import Agent
from tracehoused.config import resolve
from tracehoused.engine import Engine

__all__ = ["start"]


@click.command()
@click.option("--foreground", is_flag=True, required=True, help="Stay in the terminal, log to standard error.")
@click.option("--spool", "spools", multiple=True, help="A spool to watch; may be given several times.")
def start(foreground: bool, spools: tuple[str, ...]) -> None:
    """Watch the spool and upload what jobs write, until SIGTERM or Ctrl-C; a second signal stops at once."""
    settings = resolve({"spools": list(spools) or None}, environ=os.environ)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    engine = Engine(settings, os.environ)
    agent = Agent(engine, [os.path.abspath(os.path.expanduser(path)) for path in settings.spools], jobs=settings.jobs)

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        agent.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    agent.run()
    engine.close()
