"""`tracehouse whoami`: which keys are kept, for which servers. Keys themselves are never shown."""

from __future__ import annotations

import json
import os

import click

from tracehouse.spool import keys
from tracehouse.spool.layout import fingerprint
from tracehoused.cli.public import public_identities
from tracehoused.config import resolve
from tracehoused.text import printable

__all__ = ["whoami"]

_NAMES = ("api_base", "profile", "fingerprint", "source", "added_at")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, one list of objects.")
def whoami(as_json: bool) -> None:
    """List the identities that uploads can use; exit code 1 if there is none."""
    rows = [*_environment(), *_stored(), *_anonymous()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        _table(rows)
    if not rows:
        raise click.exceptions.Exit(1)


def _environment() -> list[dict[str, str]]:
    key = os.environ.get("TRACEHOUSE_API_KEY")
    if not key:
        return []
    key = keys.check_key(key)
    api_base = keys.normalise_api_base(os.environ.get("TRACEHOUSE_API_BASE") or keys.DEFAULT_API_BASE)
    stored = keys.load(keys.default_config_dir(os.environ))
    mark = fingerprint(key)
    held = (e.profile for e in stored if e.api_base == api_base and mark in e.fingerprints)
    return [_row(api_base, next(held, f"key-{mark}"), mark, "TRACEHOUSE_API_KEY", "")]


def _stored() -> list[dict[str, str]]:
    entries = keys.load(keys.default_config_dir(os.environ))
    return [_row(e.api_base, e.profile, e.fingerprints[0], e.source, e.added_at) for e in entries]


def _anonymous() -> list[dict[str, str]]:
    known = public_identities(resolve(environ=os.environ).state_dir)
    return [_row(one.api_base, one.identity, "", "anonymous (public)", one.made_at) for one in known]


def _row(*values: str) -> dict[str, str]:
    return dict(zip(_NAMES, values))


def _table(rows: list[dict[str, str]]) -> None:
    if not rows:
        click.echo("no key is kept; keep one with: tracehouse login", err=True)
        return
    lines = [_NAMES, *(tuple(printable(row[name]) for name in _NAMES) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_NAMES))]
    for line in lines:
        click.echo("  ".join(value.ljust(width) for value, width in zip(line, widths)).rstrip())
