"""``tracehouse rm``: delete sessions, uploaded or not."""

from __future__ import annotations

import fnmatch
import os
import sys
from contextlib import closing

import click

from tracehouse.spool import layout
from tracehoused.cli.common import resolve_spools
from tracehoused.cli.progress import human
from tracehoused.config import resolve
from tracehoused.exceptions import LeaseHeld
from tracehoused.service.retention import remove
from tracehoused.status import SessionStatus, look
from tracehoused.text import argument, printable
from tracehoused.unreadable import TROUBLES, why
from tracehoused.upload import otherwise
from tracehoused.upload.engine import Engine
from tracehoused.upload.lease import Lease
from tracehoused.upload.reader import session_dirs

__all__ = ["rm"]

_LONGEST = 1000
_MOST = 10
_WRITTEN = "a job is writing to it: end the job first"


@click.command()
@click.argument("session", metavar="SESSION")
@click.option("--spool", type=click.Path(file_okay=False), help="The spool it is in; default: the configured ones.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(session: str, spool: str | None, yes: bool) -> None:
    """Delete SESSION from the spool: an id, a pattern of ids, or a session's directory. What is at the server stays there."""
    with closing(Engine(resolve(environ=os.environ), os.environ)) as engine:
        _rm(engine, session, spool, yes)


def _rm(engine: Engine, session: str, spool: str | None, yes: bool) -> None:
    found, other = _found(engine, session, spool)
    if not found:
        click.echo(f"no session {printable(session)} there", err=True)
        for one in other[:_MOST]:
            click.echo(f"{_name(one)} cannot be read: {printable(one.trouble, _LONGEST)}", err=True)
        sys.exit(1)
    if any(map(_is_written, found)):
        click.echo(_WRITTEN, err=True)
        sys.exit(1)
    for one in found:
        click.echo(f"{one.kind} {_name(one)}: {_told(one)}")
    if not yes and not click.confirm("Delete it for good?", default=False):
        sys.exit(1)
    troubles = [(one, trouble) for one in found if (trouble := _delete(engine, one))]
    for one, trouble in troubles:
        click.echo(f"{_name(one)}: {printable(trouble, _LONGEST)}", err=True)
    sys.exit(1 if troubles else 0)


def _found(engine: Engine, session: str, spool: str | None) -> tuple[list[SessionStatus], list[SessionStatus]]:
    """Those that are meant, and those that may be, since nobody can read what their id is."""
    path = os.path.abspath(session)
    if os.sep in session and layout.is_session_dir(os.path.basename(path)) and os.path.isdir(path):
        return [look(engine, path)], []
    roots = resolve_spools(spool, resolve(environ=os.environ))
    every = [look(engine, path) for root in roots for path in session_dirs(root)]
    # an id may look like a pattern, that others match
    meant = [s for s in every if session in (s.id, os.path.basename(s.session))]
    meant = meant or [s for s in every if fnmatch.fnmatchcase(s.id, session)]
    return meant, [s for s in every if s.is_unreadable]


def _is_written(one: SessionStatus) -> bool:
    return one.state in ("running", "stalled")


def _delete(engine: Engine, shown: SessionStatus) -> str:
    """Why it could not be, and what would help; "" when it was."""
    session = shown.session
    try:
        with closing(Lease(session)):
            now = look(engine, session)
            if _is_written(now):
                return _WRITTEN
            if now.bytes > shown.bytes:
                return "not deleted: more was recorded in it meanwhile"
            remove(session)
    except LeaseHeld as held:
        return f"an agent is at it ({held.holder}); try again"
    except OSError as error:
        return f"not deleted: {why(session, error)}"
    except TROUBLES as error:
        return f"not deleted: {why(session, error)}; `rm -r {argument(session)}` does it all the same"
    return ""


def _name(one: SessionStatus) -> str:
    return printable(one.id)


def _told(one: SessionStatus) -> str:
    if one.is_unreadable:
        trouble = printable(one.trouble, _LONGEST)
        return f"cannot be read: {trouble}; whether it was uploaded, or a job writes to it, cannot be told"
    if one.state == "empty" and not one.records:
        return "nothing was recorded"
    if one.uploaded and not one.dead_letters and not one.damaged_bytes:
        return f"all {one.records:,} records are acknowledged by {printable(one.destination or '')}"
    left = max(0, one.records - one.acknowledged)
    elsewhere = otherwise.word(one.session)
    never = (
        f"are not acknowledged by {printable(one.destination or 'its server')}" if elsewhere else "were NEVER uploaded"
    )
    said = [f"{left:,} of {one.records:,} records ({human(one.bytes - one.acknowledged_bytes)}) {never}{elsewhere}"]
    if one.dead_letters:
        said.append(f"{one.dead_letters:,} were refused")
    return "; ".join(said)
