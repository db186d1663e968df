"""``tracehouse status``: a table of the sessions in a spool."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace

import click

from tracehouse.spool.keys import normalise_api_base
from tracehoused.cli.common import resolve_spools
from tracehoused.cli.public import tell_public
from tracehoused.cli.table import lines
from tracehoused.config import resolve
from tracehoused.status import SessionStatus, look
from tracehoused.upload.damage import no_record
from tracehoused.upload.engine import Engine, Options
from tracehoused.upload.reader import session_dirs

__all__ = ["status"]


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option("--api-base", help="What is acknowledged there, instead of where the sessions' jobs said.")
@click.option("--profile", help="As this login profile.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(spool: str | None, api_base: str | None, profile: str | None, as_json: bool) -> None:
    """What is in SPOOL (default: the one jobs here write to), and how much of it its destination has acknowledged."""
    settings = resolve({}, environ=os.environ)
    api_base = normalise_api_base(api_base) if api_base is not None else None
    engine = Engine(settings, os.environ, Options(api_base, profile))
    roots = resolve_spools(spool, settings)
    found = [look(engine, path) for root in roots for path in session_dirs(root)]
    if not as_json:
        tell_public(engine, [s.session for s in found], settings.state_dir)
    engine.close()
    if api_base is not None:
        # without a key for it, the session does not know of that destination
        found = [s if s.identity else replace(s, destination=api_base) for s in found]
    if as_json:
        click.echo(json.dumps({"spools": roots, "sessions": [s.to_dict() for s in found]}))
    elif found:
        _table(found)
    else:
        click.echo(f"no sessions in {', '.join(roots or settings.spools)}")


def _table(found: list[SessionStatus]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines(found, width):
        click.echo(line)
    dropped = sum(s.dropped for s in found)
    if dropped:
        click.echo(
            f"{dropped:,} records were dropped by jobs that could not write them (disk full?); they are counted above as never written"
        )
    damaged = sum(s.damaged_bytes for s in found)
    if damaged:
        click.echo(f"{no_record(damaged)}; `tracehouse verify` tells where")
    forgotten = sum(s.forgotten for s in found)
    if forgotten:
        click.echo(
            f"{forgotten:,} records are gone: they were acknowledged and deleted here, and their server has lost them since"
        )
    omitted = sum(s.omitted for s in found)
    if omitted:
        click.echo(
            f"{omitted:,} numbers were left out: NaN, infinities, metrics without a name, or what else their server dropped; "
            "they stay in the spool"
        )
