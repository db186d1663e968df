"""``tracehouse export``: what is in a spool, for other programs."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click

from tracehouse.exceptions import TracehouseError
from tracehouse.spool import layout
from tracehouse.spool.keys import normalise_api_base
from tracehoused.cli.common import resolve_spools
from tracehoused.cli.finding import find_session
from tracehoused.config import Settings, resolve
from tracehoused.export import csvfile, jsonl, otlp, parquet
from tracehoused.export.output import write_parts
from tracehoused.export.push import Pusher, batches
from tracehoused.export.records import Source, open_source
from tracehoused.export.tables import COLUMNS, rows
from tracehoused.export.traces import spans
from tracehoused.http.retry import Backoff
from tracehoused.identities.identity import refuse_plain_http
from tracehoused.text import printable
from tracehoused.upload.reader import session_dirs

if TYPE_CHECKING:
    from tracehoused.http.client import Client

__all__ = ["export"]

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED = ("content-type", "content-length", "content-encoding", "host", "transfer-encoding")
_TABLES = tuple(COLUMNS)


@click.command()
@click.argument("where", metavar="[SESSION|SPOOL]", required=False)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv", "parquet", "otlp"]), required=True)
@click.option("--what", type=click.Choice([*COLUMNS, "all"]), default="all", help="Which table (csv, parquet).")
@click.option(
    "-o", "--output", type=click.Path(), help="The file, or the directory for all tables (default: standard output)."
)
@click.option("--endpoint", help="Send OTLP there, to its /v1/traces, instead (or OTEL_EXPORTER_OTLP_ENDPOINT).")
@click.option(
    "--header", "headers", multiple=True, metavar="K=V", help="Send this with it (or OTEL_EXPORTER_OTLP_HEADERS)."
)
@click.option(
    "--spool", type=click.Path(file_okay=False), help="Where to look for SESSION (default: the configured spools)."
)
def export(
    where: str | None,
    form: str,
    what: str,
    output: str | None,
    endpoint: str | None,
    headers: tuple[str, ...],
    spool: str | None,
) -> None:
    """Write what is in a session (its directory, its id or name, or the beginning of an id) or in all of a spool, in another format.

    \b
    jsonl    each record, one a line
    csv      tables: metrics, spans, traces (rollouts too, with their rewards) and runs in the directory --output; one with --what
    parquet  the same tables, typed; needs pyarrow
    otlp     OpenTelemetry traces by the GenAI conventions, one request a line, or sent to --endpoint

    The spool stays as it is, and nothing is acknowledged. Exit code 1: something could not be read or was refused, said on
    standard error.
    """
    settings = resolve({}, environ=os.environ)
    sources = _Sources(_sessions(where, spool, settings))
    if form == "jsonl":
        write_parts(output, (jsonl.line(source.manifest, entry) for source in sources for entry in source.entries()))
    elif form == "otlp":
        _otlp(sources, output, endpoint, headers, settings)
    else:
        _tables(sources, form, what, output)
    sys.exit(1 if sources.troubles else 0)


class _Sources:
    """The sessions, opened one by one; ``troubles`` counts what could not be read, which is said on standard error."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._told: set[str] = set()
        self.troubles = 0

    def __iter__(self) -> Iterator[Source]:
        for path in self._paths:
            try:
                source = open_source(path)
            except (TracehouseError, OSError) as error:
                self.tell(os.path.basename(path), f"left out: {error}")
                continue
            yield source
            if source.damaged_lines or source.missing:
                self.tell(
                    os.path.basename(path),
                    f"{source.damaged_lines} damaged lines left out, {source.missing} records missing",
                )

    def tell(self, whose: str, what: str) -> None:
        self.troubles += 1
        if whose not in self._told:
            self._told.add(whose)
            click.echo(f"{printable(whose)}: {printable(what)}", err=True)


def _sessions(where: str | None, spool: str | None, settings: Settings) -> list[str]:
    """Directories of the sessions meant."""
    if where is None or (os.path.isdir(where) and not layout.is_session_dir(os.path.basename(os.path.normpath(where)))):
        roots = resolve_spools(where if where is not None else spool, settings)
        return [path for root in roots for path in session_dirs(root)]
    return [find_session(where, resolve_spools(spool, settings))]


def _tables(sources: _Sources, form: str, what: str, output: str | None) -> None:
    if form == "parquet":
        parquet.check_available()
        if output in (None, "-"):
            raise click.UsageError("Parquet goes to a file: name it with --output")
    if what == "all" and output in (None, "-"):
        raise click.UsageError("the tables go to a directory: name it with --output, or choose one with --what")
    if what == "all":
        assert output is not None
        os.makedirs(output, exist_ok=True)
    for table in _TABLES if what == "all" else (what,):
        path = os.path.join(output, f"{table}.{form}") if output and what == "all" else output
        made = (row for source in sources for row in rows(table, source))
        if form == "parquet":
            assert path is not None
            parquet.write(path, table, made)
        else:
            write_parts(path, csvfile.lines(COLUMNS[table], made))


def _otlp(
    sources: _Sources, output: str | None, endpoint: str | None, headers: tuple[str, ...], settings: Settings
) -> None:
    told = version("tracehouse-sdk")
    pairs = (pair for source in sources for pair in spans(source))
    endpoint = endpoint or (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") if output is None else None)
    if endpoint is None:
        if headers:
            raise click.UsageError("--header goes with --endpoint")
        write_parts(output, (otlp.request(told, batch) + b"\n" for batch in batches(pairs)))
        return
    if output is not None:
        raise click.UsageError("choose --output or --endpoint")
    with _client(endpoint, settings) as client:
        pusher = Pusher(client, _headers(headers), told, Backoff(Random(), cap=30.0), time.sleep)
        pusher.push(pairs)
    pushed = pusher.pushed
    click.echo(f"{pushed.accepted:,} spans sent, {pushed.refused:,} refused", err=True)
    for reason, count in pushed.reasons.items():
        sources.tell(reason, f"{count:,} spans")


def _client(endpoint: str, settings: Settings) -> Client:
    from tracehoused.http.client import Client  # exports to files need none, and it is half their start

    base = normalise_api_base(endpoint)
    base = base[: -len("/v1/traces")] if base.endswith("/v1/traces") else base
    refused = refuse_plain_http(base, allowed=settings.allow_plain_http)
    if refused is not None:
        raise click.UsageError(f"{refused.reason}: use https, or allow it with TRACEHOUSE_ALLOW_PLAIN_HTTP=1")
    return Client(
        base,
        token=None,
        machine_id="",
        timeout=settings.timeout,
        ca_file=settings.ca_file,
        limit_rate=settings.limit_rate,
    )


def _headers(given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    from_environment = os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    found = {}
    for text in (*filter(None, map(unquote, from_environment.split(","))), *given):
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not _HEADER.fullmatch(name) or name.lower() in _RESERVED or not value.isprintable():
            raise click.UsageError(f"a header is NAME=VALUE, got one named {printable(name, 40)!r}")
        found[name] = value.strip()
    return tuple(found.items())
