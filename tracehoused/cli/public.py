"""What went out without an account: it can be seen by whoever has its link, so sync, status and links say so, loudly."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import click

from tracehouse.exceptions import TracehouseError
from tracehoused.identities.anonymous import AnonymousIdentity, anonymous_identities
from tracehoused.text import printable
from tracehoused.upload.engine import Destination, Engine
from tracehoused.upload.reader import read_manifest
from tracehoused.upload.uploader import destination_dir

__all__ = ["public_identities", "public_links", "tell_public"]

_MOST_LINKS = 10


def public_identities(state_dir: str) -> list[AnonymousIdentity]:
    """Those kept here; on standard error: which cannot be read."""
    return anonymous_identities(state_dir, lambda error: click.echo(f"warning: {printable(str(error))}", err=True))


def public_links(engine: Engine, identity: AnonymousIdentity, sessions: Iterable[str]) -> Iterator[str]:
    """A line with the view link of each session that this identity has at its server, whoever it belongs to by now."""
    destination = Destination(identity.api_base, identity.identity)
    for session in sessions:
        if not os.path.isdir(destination_dir(session, destination.hash)):
            continue
        try:
            manifest = read_manifest(session)
            server_id = engine.checkpoint(session, manifest, destination).state.facts.get("server_id")
        except (TracehouseError, OSError):
            continue
        if server_id:
            yield printable(f"{manifest.kind} {manifest.id}: {identity.view_link(manifest.kind, str(server_id))}")


def tell_public(engine: Engine, sessions: list[str], state_dir: str) -> None:
    """On standard error: what is public of these sessions, and how to make it one's own."""
    for identity in public_identities(state_dir):
        lines = list(public_links(engine, identity, sessions))
        if not lines:
            continue
        noun = "session" if len(lines) == 1 else "sessions"
        click.echo(f"PUBLIC: {len(lines):,} {noun} went to {identity.api_base} without an account:", err=True)
        for line in lines[:_MOST_LINKS]:
            click.echo(f"  {line}", err=True)
        if len(lines) > _MOST_LINKS:
            click.echo(f"  and {len(lines) - _MOST_LINKS:,} more: `tracehouse links`", err=True)
        click.echo(f"To make them yours (keep this link to yourself): {printable(identity.claim_link)}", err=True)
