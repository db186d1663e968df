"""What commands do about deletions that were cut short."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from tracehoused.service.pruning import tidy
from tracehoused.text import printable

__all__ = ["see_to_trash"]


def see_to_trash(spools: Iterable[str]) -> None:
    """End them and say so: where no agent runs, nobody else does, and records may lie there that never arrived."""
    for found in tidy(spools):
        click.echo(f"{printable(os.path.basename(found.session))}: {printable(str(found))}", err=True)
