"""``tracehouse links``: where anonymous uploads can be seen, and claimed."""

from __future__ import annotations

import os

import click

from tracehouse.exceptions import TracehouseError
from tracehoused.anonymous import anonymous_identities
from tracehoused.cli.common import resolve_spools
from tracehoused.config import resolve
from tracehoused.engine import Destination, Engine
from tracehoused.identity import NoCredential
from tracehoused.reader import read_manifest, session_dirs
from tracehoused.text import printable

__all__ = ["links"]


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
def links(spool: str | None) -> None:
    """Addresses of what was uploaded without an account. It is PUBLIC: whoever has a view link sees it; the claim link makes it yours."""
    settings = resolve(environ=os.environ)
    engine = Engine(settings, os.environ)
    known = {(one.api_base, one.identity): one for one in anonymous_identities(settings.state_dir)}
    for identity in known.values():
        click.echo(
            f"{identity.api_base}: PUBLIC uploads; to make them yours, keep this to yourself: {identity.claim_link}"
        )
    for root in resolve_spools(spool, settings):
        for session in session_dirs(root):
            try:
                manifest = read_manifest(session)
                credential = engine.known_credential(manifest)
                if isinstance(credential, NoCredential):
                    credential = engine.public_credential(manifest) or credential
                if isinstance(credential, NoCredential):
                    continue
                found = known.get((credential.api_base, credential.identity))
                checkpoint = engine.checkpoint(session, manifest, Destination.of(credential))
            except (TracehouseError, OSError):
                continue
            server_id = checkpoint.state.facts.get("server_id")
            if found is not None and server_id:
                click.echo(
                    f"{manifest.kind} {printable(manifest.id)}: {found.view_link(manifest.kind, str(server_id))}"
                )
    engine.close()
    if not known:
        click.echo("nothing was uploaded anonymously from here")
