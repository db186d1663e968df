"""``tracehouse rm``: delete sessions, uploaded or not."""

from __future__ import annotations

import fnmatch
import os
import sys
from contextlib import closing

import click

from tracehoused.cli.common import resolve_spools
from tracehoused.cli.progress import human
from tracehoused.config import resolve
from tracehoused.exceptions import LeaseHeld
from tracehoused.service.retention import remove
from tracehoused.status import SessionStatus, look
from tracehoused.text import printable
from tracehoused.upload.engine import Engine
from tracehoused.upload.lease import Lease
from tracehoused.upload.reader import session_dirs

__all__ = ["rm"]


@click.command()
@click.argument("session", metavar="SESSION")
@click.option("--spool", type=click.Path(file_okay=False), help="The spool it is in; default: the configured ones.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(session: str, spool: str | None, yes: bool) -> None:
    """Delete SESSION from the spool: an id, a pattern of ids, or a session's directory. What is at the server stays there."""
    settings = resolve(environ=os.environ)
    engine = Engine(settings, os.environ)
    found = _found(engine, session, spool)
    engine.close()
    if not found:
        click.echo(f"no session {printable(session)} there", err=True)
        sys.exit(1)
    if any(one.state in ("running", "stalled") for one in found):
        click.echo("a job is writing to it: end the job first", err=True)
        sys.exit(1)
    for one in found:
        click.echo(f"{one.kind} {printable(one.id)}: {_told(one)}")
    if not yes and not click.confirm("Delete it for good?", default=False):
        sys.exit(1)
    for one in found:
        try:
            with closing(Lease(one.session)):
                remove(one.session)
        except LeaseHeld as held:
            click.echo(f"{printable(one.id)}: an agent is at it ({held.holder}); try again", err=True)
            sys.exit(1)


def _found(engine: Engine, session: str, spool: str | None) -> list[SessionStatus]:
    if os.path.isdir(session) and os.sep in session:
        return [look(engine, path) for path in session_dirs(session)[:1]]
    roots = resolve_spools(spool, resolve(environ=os.environ))
    every = [look(engine, path) for root in roots for path in session_dirs(root)]
    return [s for s in every if fnmatch.fnmatchcase(s.id, session) or os.path.basename(s.session) == session]


def _told(one: SessionStatus) -> str:
    if one.uploaded and not one.dead_letters and not one.damaged_bytes:
        return f"all {one.records:,} records are acknowledged by {one.destination}"
    left = max(0, one.records - one.acknowledged)
    said = [f"{left:,} of {one.records:,} records ({human(one.bytes - one.acknowledged_bytes)}) were NEVER uploaded"]
    if one.dead_letters:
        said.append(f"{one.dead_letters:,} were refused")
    return "; ".join(said)
