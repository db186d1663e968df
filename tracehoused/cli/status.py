"""``tracehouse status``: a table of the sessions in a spool."""

from __future__ import annotations

import json
import os

import click

from tracehoused.cli.common import resolve_spools
from tracehoused.cli.progress import human
from tracehoused.config import resolve
from tracehoused.engine import Engine
from tracehoused.reader import session_dirs
from tracehoused.status import SessionStatus, look
from tracehoused.text import printable

__all__ = ["status"]


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(spool: str | None, as_json: bool) -> None:
    """What is in SPOOL (default: the one jobs here write to), and how much of it its destination has acknowledged."""
    settings = resolve({}, environ=os.environ)
    engine = Engine(settings, os.environ)
    roots = resolve_spools(spool, settings)
    found = [look(engine, path) for root in roots for path in session_dirs(root)]
    engine.close()
    if as_json:
        click.echo(json.dumps({"spools": roots, "sessions": [s.to_dict() for s in found]}))
    elif found:
        _table(found)
    else:
        click.echo(f"no sessions in {', '.join(roots or settings.spools)}")


def _table(found: list[SessionStatus]) -> None:
    rows: list[tuple[str, ...]] = [("KIND", "ID", "STATE", "RECORDS", "BYTES", "DEAD", "LAST ERROR")]
    rows += [_row(s) for s in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())
    dropped = sum(s.dropped for s in found)
    if dropped:
        click.echo(
            f"{dropped:,} records were dropped by jobs that could not write them (disk full?); they are counted above as never written"
        )


def _row(s: SessionStatus) -> tuple[str, ...]:
    return (
        s.kind,
        printable(s.id, 60),
        s.state,
        f"{s.acknowledged:,}/{s.records:,}",
        f"{human(s.acknowledged_bytes)}/{human(s.bytes)}",
        str(s.dead_letters),
        printable(s.trouble, 120),
    )
