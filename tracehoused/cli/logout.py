"""`tracehouse logout`: forget a kept API key."""

from __future__ import annotations

import os

import click

from tracehouse.spool import keys

__all__ = ["logout"]


@click.command()
@click.option("--api-base", metavar="URL", help="Only the keys for this server.")
@click.option("--profile", help="Only the keys of this profile.")
@click.option("--all", "everything", is_flag=True, help="All keys.")
def logout(api_base: str | None, profile: str | None, everything: bool) -> None:
    """Forget a kept key. Sessions that were logged with it wait, and lose nothing.

    Without options it forgets the one key that is kept; where there are several, it asks which is meant. The key itself
    stays valid: revoke it at the server.
    """
    directory = keys.default_config_dir(os.environ)
    entries = keys.load(directory)
    if len(entries) > 1 and not (everything or api_base or profile):
        told = "\n".join(f"  --api-base {entry.api_base} --profile {entry.profile}" for entry in entries)
        raise click.UsageError(f"several keys are kept; say which is meant, or --all:\n{told}")
    gone = keys.remove(profile, api_base, config_dir=directory)
    for entry in gone:
        click.echo(f"forgot the key of profile {entry.profile!r} for {entry.api_base}")
    if not gone:
        click.echo("no such key is kept", err=True)
        raise click.exceptions.Exit(1)
    if os.environ.get("TRACEHOUSE_API_KEY"):
        click.echo("note: TRACEHOUSE_API_KEY is set, and goes on being used", err=True)
