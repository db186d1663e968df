"""``tracehoused uninstall``."""

from __future__ import annotations

import os
import subprocess

import click

from tracehouse.exceptions import TracehouseError
from tracehoused.cli.install import unit_for

__all__ = ["uninstall"]


@click.command()
@click.option("--user", "scope", flag_value="user", default=True, help="Your own (the default).")
@click.option("--system", "scope", flag_value="system", help="That of all users of this machine.")
@click.option("--for", "name", metavar="USER", help="With --system: whose agent to stop.")
def uninstall(scope: str, name: str | None) -> None:
    """End the service and take its file away. Spools, keys and settings stay."""
    unit = unit_for(scope, name)
    if not os.path.exists(unit.path):
        click.echo(f"not installed: there is no {unit.path}")
        return
    if not os.environ.get("DESTDIR"):
        _run(unit.disable)
    try:
        os.unlink(unit.path)
    except OSError as error:
        raise TracehouseError(f"cannot remove {unit.path}: {error.strerror}") from error
    if not os.environ.get("DESTDIR"):
        _run(unit.load)
    click.echo(f"removed: {unit.path}")


def _run(command: tuple[str, ...]) -> None:
    try:
        subprocess.run(command, capture_output=True, timeout=90, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return  # no manager runs here: there is nothing for it to let go of
