"""``tracehouse verify``: is everything really there?"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

import click

from tracehoused.cli.common import resolve_spools
from tracehoused.config import resolve
from tracehoused.text import printable
from tracehoused.upload.engine import Engine, Options
from tracehoused.upload.reader import session_dirs
from tracehoused.verify import Proof
from tracehoused.verify import verify as proof_of

__all__ = ["verify"]


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option("--api-base", help="Ask there instead of where the sessions' jobs said.")
@click.option("--profile", help="Use this login profile's key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def verify(spool: str | None, api_base: str | None, profile: str | None, as_json: bool) -> None:
    """Compare every byte of SPOOL and every media file with the receipts, and with the server, which is asked for each record.

    Exit code 0: all of it is proven to be there. 1: something is not, or the server cannot be asked, so that only receipts were compared.
    """
    settings = resolve(environ=os.environ)
    engine = Engine(settings, os.environ, Options(api_base, profile))
    proofs = [proof_of(engine, path) for root in resolve_spools(spool, settings) for path in session_dirs(root)]
    engine.close()
    if as_json:
        told = [{**asdict(proof), "proven": proof.proven} for proof in proofs]
        click.echo(json.dumps({"proven": all(proof.proven for proof in proofs), "sessions": told}))
    else:
        _tell(proofs)
    sys.exit(0 if all(proof.proven for proof in proofs) else 1)


def _tell(proofs: list[Proof]) -> None:
    for proof in proofs:
        for problem in proof.problems:
            click.echo(f"{printable(proof.id)}: {printable(problem)}", err=True)
        if not proof.asked and not proof.problems:
            click.echo(f"{printable(proof.id)}: only the receipts were compared: the server cannot be asked", err=True)
    proven = [proof for proof in proofs if proof.proven]
    records, media = sum(proof.records for proof in proven), sum(proof.media for proof in proven)
    click.echo(f"{len(proven)} of {len(proofs)} sessions proven: {records:,} records, {media:,} media files")
    deleted = sum(proof.deleted for proof in proofs)
    if deleted:
        click.echo(f"{deleted:,} records more were deleted here after they were acknowledged")
