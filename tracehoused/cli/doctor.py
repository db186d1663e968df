"""``tracehouse doctor``."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

import click

from tracehoused.cli.common import resolve_spools
from tracehoused.config import resolve
from tracehoused.doctor import examine
from tracehoused.text import printable

__all__ = ["doctor"]

_MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doctor(spool: str | None, as_json: bool) -> None:
    """Look for what could keep uploads from working here, and say what to do. Exit code 1 when something is wrong."""
    settings = resolve(environ=os.environ)
    wrong = False
    for finding in examine(settings, os.environ, resolve_spools(spool, settings)):
        wrong = wrong or finding.grave == "wrong"
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            continue
        click.echo(f"{_MARKS[finding.grave]} {finding.what.ljust(8)} {printable(finding.told)}")
        if finding.remedy and finding.grave != "ok":
            click.echo(f"{'':14}→ {printable(finding.remedy)}")
    sys.exit(1 if wrong else 0)
