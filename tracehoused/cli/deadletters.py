"""``tracehouse deadletters``: records that a server refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import IO

import click

from tracehoused import letters
from tracehoused.cli.common import resolve_spools
from tracehoused.config import resolve
from tracehoused.text import printable
from tracehoused.upload.deadletter import DeadLetter
from tracehoused.upload.engine import Engine
from tracehoused.upload.reader import session_dirs

__all__ = ["deadletters"]

_where = click.argument("where", metavar="[SPOOL|SESSION]", required=False, type=click.Path(file_okay=False))
_number = click.option("--record", metavar="EPOCH-SEQ", help="Only this one, as `list` names it.")


@click.group(help="Records that the server refused: each stays in its session, with the reason.")
def deadletters() -> None:
    pass


@deadletters.command("list")
@_where
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(where: str | None, as_json: bool) -> None:
    """What was refused, and why."""
    engine, sessions = _sessions(where)
    count = 0
    for session in sessions:
        for letter in letters.letters_of(engine, session):
            count += 1
            if as_json:
                click.echo(json.dumps({"session": session, "record": _name(letter), **asdict(letter)}))
            else:
                again = "; tried again daily" if letter.parked else ""
                words = os.path.basename(session), _name(letter), letter.type, letter.at, letter.reason
                click.echo("  ".join(printable(word, 200) for word in words) + again)
    if not count and not as_json:
        click.echo("no dead letters")


@deadletters.command()
@_where
@click.argument("record", metavar="EPOCH-SEQ")
def show(where: str | None, record: str) -> None:
    """One record with its reason, as JSON."""
    engine, sessions = _sessions(where)
    for session in sessions:
        chosen = [letter for letter in letters.letters_of(engine, session) if _name(letter) == record]
        for letter, data in letters.records_of(engine, session, chosen) if chosen else ():
            click.echo(json.dumps({"session": session, **asdict(letter), "data": _parsed(data)}, indent=1))
            return
    click.echo(f"no dead letter {printable(record)} there", err=True)
    sys.exit(1)


@deadletters.command()
@_where
@_number
def retry(where: str | None, record: str | None) -> None:
    """Send them again. Exit code 0: all were accepted; 1: some were not."""
    engine, sessions = _sessions(where)
    accepted = left = 0
    for session in sessions:
        if not any(map(_chosen(record), letters.letters_of(engine, session))):
            continue
        done = letters.retry(engine, session, _chosen(record))
        accepted, left = accepted + done.accepted, left + done.left
        if done.trouble:
            click.echo(f"{printable(os.path.basename(session))}: {printable(done.trouble)}", err=True)
    engine.close()
    click.echo(f"{accepted} accepted, {left} left")
    sys.exit(1 if left else 0)


@deadletters.command()
@_where
@click.option("--output", type=click.File("w"), default="-", help="A file; default: standard output.")
def export(where: str | None, output: IO[str]) -> None:
    """The records with their reasons, one JSON object a line."""
    engine, sessions = _sessions(where)
    for session in sessions:
        found = letters.letters_of(engine, session)
        for letter, data in letters.records_of(engine, session, found) if found else ():
            output.write(json.dumps({"session": session, **asdict(letter), "data": _parsed(data)}) + "\n")


@deadletters.command()
@_where
@_number
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(where: str | None, record: str | None, yes: bool) -> None:
    """Give them up: they will never be sent, and keep their sessions from deletion no longer."""
    engine, sessions = _sessions(where)
    found = [s for s in sessions if any(map(_chosen(record), letters.letters_of(engine, s)))]
    count = sum(len(list(filter(_chosen(record), letters.letters_of(engine, s)))) for s in found)
    if count and not yes and not click.confirm(f"Give up {count} records for good?", default=False):
        sys.exit(1)
    for session in found:
        letters.drop(engine, session, _chosen(record))
    click.echo(f"{count} given up")


def _sessions(where: str | None) -> tuple[Engine, Iterator[str]]:
    settings = resolve(environ=os.environ)
    roots = resolve_spools(where, settings)
    return Engine(settings, os.environ), (path for root in roots for path in session_dirs(root))


def _name(letter: DeadLetter) -> str:
    return f"{letter.epoch}-{letter.seq}"


def _chosen(record: str | None) -> Callable[[DeadLetter], bool]:
    return lambda letter: record is None or _name(letter) == record


def _parsed(data: str | None) -> object:
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return data
