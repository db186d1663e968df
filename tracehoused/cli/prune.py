"""``tracehouse prune``: delete what is safely uploaded."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

import click

from tracehoused import values
from tracehoused.cli.common import resolve_spools
from tracehoused.cli.progress import human
from tracehoused.cli.trash import see_to_trash
from tracehoused.config import resolve
from tracehoused.service.ledger import Ledger, Odometer
from tracehoused.service.pruning import Pruned, candidates, note_pruned, note_unknown, prune_session
from tracehoused.text import printable
from tracehoused.upload.damage import no_record
from tracehoused.upload.engine import Engine

__all__ = ["prune"]


class _Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in some versions of click only
    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return values.duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option(
    "--older-than", type=_Duration(), help="Settled for so long, such as 7d; default: retention_grace, a day."
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def prune(spool: str | None, older_than: float | None, dry_run: bool, as_json: bool) -> None:
    """Delete the records of sessions in SPOOL that have ended and are wholly acknowledged by their destination.

    How long ago a session was settled counts from when an agent, a sync or a prune first saw it so, by clocks that no time step moves:
    with `--older-than 0` none has to pass. A receipt stays, from which a resumed job goes on. Exit code 1: the disk let some not be
    looked at or deleted, as a full one does.
    """
    settings = resolve(environ=os.environ)
    engine = Engine(settings, os.environ)
    odometer = Odometer(settings.state_dir)
    grace = settings.retention_grace if older_than is None else older_than
    results: list[Pruned] = []
    trouble = ""
    roots = resolve_spools(spool, settings)
    if not dry_run:
        see_to_trash(roots)
    for root in roots:
        ledger = Ledger(settings.state_dir, root)
        results += note_unknown(engine, ledger, root, odometer.now())
        for name in candidates(ledger, older_than=grace, odo=odometer.now()):
            path = os.path.join(root, name)
            pruned = prune_session(engine, path, dry=dry_run)
            results.append(pruned)
            if not pruned.kept and not dry_run:
                note_pruned(ledger, pruned)
        trouble = _saved(ledger) or trouble
    trouble = _saved(odometer) or trouble
    engine.close()
    if trouble:
        click.echo(f"since when sessions are settled could not be noted down: {trouble}", err=True)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "sessions": [asdict(one) for one in results]}))
    else:
        _tell(results, dry_run, grace)
    if trouble or any(one.failed for one in results):
        sys.exit(1)


def _tell(results: list[Pruned], dry_run: bool, grace: float) -> None:
    for one in results:
        damage = f"; {no_record(one.damaged)}" if one.damaged else ""
        done = f"{'would free' if dry_run else 'freed'} {human(one.freed)}{damage}"
        told = f"kept: {printable(one.kept)}" if one.kept else done
        click.echo(f"{printable(os.path.basename(one.session))}: {told}")
    if not results:
        click.echo(f"nothing has been settled for {_time(grace)}: nothing to delete")


def _saved(notes: Ledger | Odometer) -> str:
    """Why it could not be saved; "" where it was."""
    try:
        notes.save()
    except OSError as error:
        return str(error)
    return ""


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds:.3g} s"
