"""What several commands share."""

from __future__ import annotations

import glob
import os

import click

from tracehoused.config import Settings

__all__ = ["resolve_spools"]


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
