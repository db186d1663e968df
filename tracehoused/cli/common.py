"""What several commands share."""

from __future__ import annotations

import glob
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from tracehoused.config import Settings

__all__ = ["agent_options", "flags_of", "resolve_spools", "say"]

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def resolve_spools(given: str | None, settings: Settings) -> list[str]:
    """Absolute paths of the spools meant: the argument, else the configured ones (which may be patterns)."""
    if given is not None:
        if not os.path.isdir(given):
            raise click.UsageError(f"no such spool directory: {given}")
        return [os.path.abspath(given)]
    found = []
    for pattern in settings.spools:
        expanded = os.path.expanduser(pattern)
        paths = sorted(glob.glob(expanded)) if glob.has_magic(expanded) else [expanded]
        found += [os.path.abspath(path) for path in paths if os.path.isdir(path)]
    return found


def say(text: str) -> None:
    """Print a line; whoever read them may have gone (`| head`), and what goes on beside them goes on."""
    try:
        click.echo(text)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


_OPTIONS = (
    (
        "spools",
        "--spool",
        {"multiple": True, "help": "A spool to watch, or a pattern of such; may be given several times."},
    ),
    ("jobs", "--jobs", {"type": click.IntRange(1, 64), "help": "Sessions uploaded at a time."}),
    ("limit_rate", "--limit-rate", {"metavar": "SIZE", "help": "Most bytes per second, such as 2M/s."}),
    (
        "ca_file",
        "--ca-file",
        {"type": click.Path(dir_okay=False), "help": "PEM certificates to trust besides the usual."},
    ),
    (
        "allow_plain_http",
        "--allow-plain-http",
        {"flag_value": "true", "default": None, "help": "Send keys and records unencrypted to other machines."},
    ),
    ("metrics", "--metrics", {"metavar": "PORT|FILE", "help": "Prometheus metrics, on a loopback port or in a file."}),
    ("stall_after", "--stall-after", {"metavar": "TIME", "help": "How long a job may record nothing (10m)."}),
    ("dead_after", "--dead-after", {"metavar": "TIME", "help": "Silence after which a job elsewhere is dead (1h)."}),
    (
        "on_stall",
        "--on-stall",
        {"metavar": "COMMAND", "help": "Run with the session's path when a job stalls; no shell."},
    ),
)


def agent_options(command: _Command) -> _Command:
    """The options of commands that are an agent."""
    for name, option, words in reversed(_OPTIONS):
        command = click.option(option, name, **words)(command)
    return command


def flags_of(options: Mapping[str, Any]) -> tuple[dict[str, object], list[str]]:
    """(settings by name, the same as words of a command line, with paths that hold in any directory)."""
    flags: dict[str, object] = {}
    words: list[str] = []
    for name, option, _ in _OPTIONS:
        value = options.get(name)
        if value is None or value == ():
            continue
        if name == "metrics":
            target = "metrics_port" if str(value).isdigit() else "metrics_file"
            flags[target] = value = value if str(value).isdigit() else _absolute(value)
        elif name == "spools":
            flags[name] = value = tuple(_absolute(path) for path in value)
        elif name == "ca_file":
            flags[name] = value = _absolute(value)
        elif name == "on_stall":
            flags[name] = shlex.split(value)
        else:
            flags[name] = value
        for one in value if isinstance(value, tuple) else (value,):
            words += [option] if name == "allow_plain_http" else [option, str(one)]
    return flags, words


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
