"""The two console scripts. Commands are loaded when they are called, so that ``tracehouse --help`` is quick."""

from __future__ import annotations

import difflib
import importlib
import sys

import click

from tracehouse.exceptions import TracehouseError
from tracehoused.text import printable

__all__ = ["tracehouse", "tracehoused"]

_TRACEHOUSE = {
    "sync": "Upload a spool and exit.",
    "status": "What is in a spool, and how much of it is uploaded.",
    "show": "One session's conversation or metrics, in the terminal.",
    "view": "A spool in the browser, as jobs write it.",
    "top": "Live sessions in the terminal, as they go.",
    "export": "What is in a spool, as JSON lines, CSV, Parquet or OpenTelemetry.",
    "verify": "Prove that all of a spool is at its server.",
    "deadletters": "Records that the server refused: list, show, retry, export, drop.",
    "links": "Where anonymous uploads can be seen, and claimed.",
    "doctor": "What could keep uploads from working here, and what to do.",
    "prune": "Delete from a spool what is safely uploaded.",
    "rm": "Delete sessions from a spool, uploaded or not.",
    "serve": "Run a house: a receiver of your own, with pages to look at.",
    "login": "Keep an API key for the agent.",
    "logout": "Forget a kept API key.",
    "whoami": "Which keys are kept, for which servers.",
}
_TRACEHOUSED = {
    "start": "Watch spools and upload what jobs write, in the background.",
    "stop": "End the agent.",
    "restart": "End the agent and start it again.",
    "status": "Whether the agent runs, and what it is about.",
    "logs": "The agent's log.",
    "run-once": "Upload what there is and exit: for cron.",
    "install": "Have systemd or launchd run the agent.",
    "uninstall": "Undo that.",
    "config": "The effective settings, and where each comes from.",
}
# two programs, two commands of one name
_MODULES = {("tracehoused", "status"): "agent_status"}


class _Lazy(click.Group):
    """Commands by name, each from the module of its name in this package."""

    def __init__(self, *, lazy: dict[str, str], **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"tracehoused.cli.{_MODULES.get((str(self.name), cmd_name), name)}")
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._lazy and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self._lazy, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(self._lazy)}"
            raise click.UsageError(f"no such command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lazy.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except TracehouseError as error:
            click.echo(f"{ctx.command_path}: {printable(str(error), 2000)}", err=True)
            sys.exit(2)


_BOTH = {"help_option_names": ["-h", "--help"]}


@click.group(
    cls=_Lazy,
    lazy=_TRACEHOUSE,
    context_settings=_BOTH,
    help="Upload, look at and serve what jobs logged with tracehouse.",
)
@click.version_option(package_name="tracehouse-sdk", prog_name="tracehouse")
def tracehouse() -> None:
    pass


@click.group(
    cls=_Lazy,
    lazy=_TRACEHOUSED,
    context_settings=_BOTH,
    help="The agent: watches the spool in the background and uploads it.",
)
@click.version_option(package_name="tracehouse-sdk", prog_name="tracehoused")
def tracehoused() -> None:
    pass
