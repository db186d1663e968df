"""``tracehoused install``: have systemd or launchd run the agent."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from tracehouse.exceptions import TracehouseError
from tracehoused.service.units import Unit, launchd, system_unit, user_unit
from tracehoused.text import printable

__all__ = ["install", "unit_for"]


@click.command()
@click.option("--user", "scope", flag_value="user", default=True, help="For yourself (the default).")
@click.option("--system", "scope", flag_value="system", help="For all users of this machine: one agent for each.")
@click.option("--for", "name", metavar="USER", help="With --system --enable: whose agent to start.")
@click.option("--enable", is_flag=True, help="Start it now and at each boot or login.")
def install(scope: str, name: str | None, enable: bool) -> None:
    """Write the service's file for systemd (or launchd, on macOS). With DESTDIR set it is written below that, for packages."""
    unit = unit_for(scope, name)
    try:
        os.makedirs(os.path.dirname(unit.path), exist_ok=True)
        with open(unit.path, "w", encoding="utf-8") as file:
            file.write(unit.text)
    except OSError as error:
        raise TracehouseError(f"cannot write {unit.path}: {error.strerror}") from error
    click.echo(f"written: {unit.path}")
    if os.environ.get("DESTDIR"):
        return
    if not _run(unit.load, quiet=not enable):
        click.echo("no service manager answers here: it takes the file up when it runs next", err=True)
    if enable:
        sys.exit(0 if _run(unit.enable) else 1)
    click.echo(f"start it, now and from now on: {' '.join(unit.enable)}")
    if scope == "user" and sys.platform != "darwin":
        click.echo("let it run after you log out: loginctl enable-linger")


def unit_for(scope: str, name: str | None) -> Unit:
    root = os.environ.get("DESTDIR", "")
    if sys.platform == "darwin":
        if scope == "system":
            raise click.UsageError("--system is for systemd; on macOS each user installs it")
        return launchd(os.environ, root)
    if scope == "system":
        return system_unit(name or os.environ.get("SUDO_USER") or "USER", root)
    return user_unit(os.environ, root)


def _run(command: tuple[str, ...], *, quiet: bool = False) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        if not quiet:
            click.echo(f"{command[0]}: {error}", err=True)
        return False
    if done.returncode and not quiet:
        click.echo(printable(done.stderr.strip()), err=True)
    return done.returncode == 0
