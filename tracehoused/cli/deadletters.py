"""``tracehouse deadletters``: records that a server refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO

import click

from tracehoused import letters
from tracehoused.cli.common import resolve_spools
from tracehoused.config import resolve
from tracehoused.text import printable
from tracehoused.unreadable import TROUBLES, why
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
@click.argument("words", metavar="[SPOOL|SESSION] EPOCH-SEQ", nargs=-1, required=True)
def show(words: tuple[str, ...]) -> None:
    """One record with its reason, as JSON; EPOCH-SEQ as `list` names it."""
    *places, record = words
    if len(places) > 1:
        raise click.UsageError("one spool or session, and one record")
    engine, sessions = _sessions(places[0] if places else None)
    for session in sessions:
        for told in _records(engine, session, record, []):
            click.echo(json.dumps(told, indent=1))
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
    troubled: list[str] = []
    for session in sessions:
        if not _those(engine, session, record):
            continue
        with _telling(session, troubled):
            done = letters.retry(engine, session, _chosen(record))
            accepted, left = accepted + done.accepted, left + done.left
            if done.trouble:
                _tell(session, done.trouble)
    engine.close()
    left += sum(len(_those(engine, session, record)) for session in troubled)
    click.echo(f"{accepted} accepted, {left} left")
    sys.exit(1 if left or troubled else 0)


@deadletters.command()
@_where
@click.option("--output", type=click.File("w"), default="-", help="A file; default: standard output.")
def export(where: str | None, output: IO[str]) -> None:
    """The records with their reasons, one JSON object a line."""
    engine, sessions = _sessions(where)
    troubled: list[str] = []
    for session in sessions:
        for told in _records(engine, session, None, troubled):
            output.write(json.dumps(told) + "\n")
    sys.exit(1 if troubled else 0)


@deadletters.command()
@_where
@_number
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(where: str | None, record: str | None, yes: bool) -> None:
    """Give them up: they will never be sent, and keep their sessions from deletion no longer."""
    engine, sessions = _sessions(where)
    found = {session: len(those) for session in sessions if (those := _those(engine, session, record))}
    count = sum(found.values())
    if count and not yes and not click.confirm(f"Give up {count} records for good?", default=False):
        sys.exit(1)
    dropped = 0
    troubled: list[str] = []
    for session in found:
        with _telling(session, troubled):
            dropped += letters.drop(engine, session, _chosen(record))
    click.echo(f"{dropped} given up")
    sys.exit(1 if troubled else 0)


def _sessions(where: str | None) -> tuple[Engine, Iterator[str]]:
    settings = resolve(environ=os.environ)
    roots = resolve_spools(where, settings)
    return Engine(settings, os.environ), (path for root in roots for path in session_dirs(root))


def _those(engine: Engine, session: str, record: str | None) -> list[DeadLetter]:
    return list(filter(_chosen(record), letters.letters_of(engine, session)))


def _records(engine: Engine, session: str, record: str | None, troubled: list[str]) -> list[dict[str, object]]:
    """The chosen letters of a session with their records."""
    chosen = _those(engine, session, record)
    if chosen:
        with _telling(session, troubled):
            found = letters.records_of(engine, session, chosen)
            return [{"session": session, **asdict(letter), "data": _parsed(data)} for letter, data in found]
    return []


@contextmanager
def _telling(session: str, troubled: list[str]) -> Iterator[None]:
    """What stops one session is told, and stops no other."""
    try:
        yield
    except TROUBLES as error:
        troubled.append(session)
        _tell(session, why(session, error))


def _tell(session: str, trouble: str) -> None:
    click.echo(f"{printable(os.path.basename(session))}: {printable(trouble, 1000)}", err=True)


def _name(letter: DeadLetter) -> str:
    return f"{letter.epoch}-{letter.seq}"


def _chosen(record: str | None) -> Callable[[DeadLetter], bool]:
    return lambda letter: record is None or _name(letter) == record


def _parsed(data: str | None) -> object:
    try:
        return None if data is None else json.loads(data)
    except (ValueError, RecursionError):
        return data
