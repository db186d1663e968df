"""``tracehouse links``: where anonymous uploads can be seen, and claimed."""

from __future__ import annotations

import os

import click

from tracehoused.cli.common import resolve_spools
from tracehoused.cli.public import public_identities, public_links
from tracehoused.config import resolve
from tracehoused.upload.engine import Engine
from tracehoused.upload.reader import session_dirs

__all__ = ["links"]


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
def links(spool: str | None) -> None:
    """Addresses of what was uploaded without an account. It is PUBLIC: whoever has a view link sees it; the claim link makes it yours."""
    settings = resolve(environ=os.environ)
    engine = Engine(settings, os.environ)
    known = public_identities(settings.state_dir)
    sessions = [session for root in resolve_spools(spool, settings) for session in session_dirs(root)]
    for identity in known:
        click.echo(
            f"{identity.api_base}: PUBLIC uploads; to make them yours, keep this to yourself: {identity.claim_link}"
        )
        for line in public_links(engine, identity, sessions):
            click.echo(line)
    engine.close()
    if not known:
        click.echo("nothing was uploaded anonymously from here")
