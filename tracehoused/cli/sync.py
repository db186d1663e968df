"""``tracehouse sync``: upload everything in a spool, then exit."""

from __future__ import annotations

import fnmatch
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import click

from tracehouse.spool.keys import normalise_api_base
from tracehoused.cli.common import resolve_spools
from tracehoused.cli.progress import Progress
from tracehoused.cli.public import tell_public
from tracehoused.cli.trash import see_to_trash
from tracehoused.config import resolve
from tracehoused.status import SessionStatus, look
from tracehoused.text import argument, printable
from tracehoused.upload.damage import no_record
from tracehoused.upload.engine import Engine, Options, Report
from tracehoused.upload.gaps import COPY_AGAIN, missing_records
from tracehoused.upload.reader import session_dirs

__all__ = ["sync"]

# an unreachable destination is tried so often before sync gives up; what is left is left for the next one
_TRIES = 3
_LEASE_WAIT = 30.0
_ENDED = ("finished", "failed", "crashed", "killed", "ended")
_LONGEST_WAIT = 30.0
_MOST_ALIKE = 3
_LONGEST_REASON = 1000


@dataclass
class _Work:
    """Reports by session; ``stop`` is set by Ctrl-C: what is under way is finished, nothing new is begun."""

    engine: Engine
    progress: Progress
    stop: threading.Event = field(default_factory=threading.Event)
    reports: dict[str, Report] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    outages: int = 0

    def drain(self, session: str) -> None:
        if self.stop.is_set():
            return
        report = self.engine.drain(session)
        tries, deadline = 1, time.monotonic() + _LEASE_WAIT
        while not report.outcome.complete and not report.outcome.stopped and not self.stop.is_set():
            if report.outcome.scope == "lease":
                if time.monotonic() > deadline or self.stop.wait(0.5):
                    break
            elif report.destination is None or self._gives_up(report, tries):
                break
            else:
                tries += 1
            report = self.engine.drain(session)
        self.reports[session] = report
        self.progress.session_done()

    def _gives_up(self, report: Report, tries: int) -> bool:
        """A server that does not answer is not waited for session by session, nor one that does not take the key."""
        if report.outcome.scope == "identity":
            return True
        if report.outcome.scope == "destination":
            self.outages += 1
        wait = report.outcome.retry_after or 0.5 * tries
        return tries >= _TRIES or self.outages >= 2 * _TRIES or wait > _LONGEST_WAIT or self.stop.wait(wait)


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option("--api-base", help="Upload there instead of where the sessions' jobs said.")
@click.option("--profile", help="Use this login profile's key.")
@click.option(
    "--session", "pattern", metavar="GLOB", help="Only sessions whose id or directory matches; 2 if none does."
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be uploaded, and do nothing; 1 if something would be left."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Sessions at a time.")
@click.option("--limit-rate", metavar="SIZE", help="Most bytes per second, such as 2M/s.")
@click.option("--ca-file", type=click.Path(dir_okay=False), help="PEM certificates to trust besides the usual.")
@click.option(
    "--allow-plain-http", flag_value="true", default=None, help="Send keys and records unencrypted to other machines."
)
@click.option("--anonymous", is_flag=True, help="Upload sessions that name no key publicly, without an account.")
@click.option(
    "--again", is_flag=True, help="Send what another identity had acknowledged there, as this one, once more."
)
@click.option("--close-dead", is_flag=True, help="Take writers that cannot be asked (a copied spool) for dead.")
def sync(
    spool: str | None,
    api_base: str | None,
    profile: str | None,
    pattern: str | None,
    dry_run: bool,
    as_json: bool,
    jobs: int | None,
    limit_rate: str | None,
    ca_file: str | None,
    allow_plain_http: str | None,
    anonymous: bool,
    again: bool,
    close_dead: bool,
) -> None:
    """Upload SPOOL (default: the one jobs here write to) and exit.

    Exit code 0: the destination has acknowledged everything; 1: something is left, was refused, or was met damaged or missing, said on
    standard error; 2: usage; 130: interrupted (Ctrl-C) with something left. Then it stops cleanly, and the next sync goes on from there.
    """
    flags = {"jobs": jobs, "limit_rate": limit_rate, "ca_file": ca_file, "allow_plain_http": allow_plain_http}
    settings = resolve(flags, environ=os.environ)
    api_base = normalise_api_base(api_base) if api_base is not None else None
    roots = resolve_spools(spool, settings)
    if not dry_run:
        see_to_trash(roots)
    sessions = [path for root in roots for path in session_dirs(root)]
    engine = Engine(settings, os.environ, Options(api_base, profile, anonymous, close_dead, again=again))
    statuses = [look(engine, path) for path in sessions]
    if pattern is not None:
        statuses = [s for s in statuses if _matches(s, pattern)]
        if not statuses:
            raise click.UsageError(f"no session matches {pattern!r}; `tracehouse status` lists their ids")
    if not (statuses or as_json or dry_run):
        click.echo(f"no sessions in {spool or ', '.join(settings.spools)}", err=True)
    if dry_run:
        engine.close()
        sys.exit(_tell_dry(statuses, as_json))
    pending = sum(s.bytes - s.acknowledged_bytes for s in statuses)
    progress = Progress(pending, len(statuses), quiet=as_json)
    engine.on_sent(progress.sent)
    work = _Work(engine, progress)
    work.settled = {s.session for s in statuses if _is_settled(s)}
    _drain_all(work, [s.session for s in statuses if s.session not in work.settled], settings.jobs)
    progress.finish()
    after = [s if s.session in work.settled else look(engine, s.session) for s in statuses]
    engine.close()
    acknowledged = sum(s.acknowledged for s in after) - sum(s.acknowledged for s in statuses)
    code = _tell(work, after, acknowledged, as_json)
    damaged = _tell_damaged(statuses, after)
    missing = _tell_missing(statuses, after)
    code = code or damaged or missing
    _tell_omitted(sum(s.omitted for s in after) - sum(s.omitted for s in statuses))
    _tell_forgotten(sum(s.forgotten for s in after) - sum(s.forgotten for s in statuses))
    tell_public(engine, [s.session for s in after], settings.state_dir)
    sys.exit(code)


def _matches(status: SessionStatus, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (status.id, os.path.basename(status.session)))


def _drain_all(work: _Work, sessions: list[str], jobs: int) -> None:
    def interrupt(*_: object) -> None:
        if work.stop.is_set():
            os._exit(130)
        work.stop.set()
        work.engine.stop()
        click.echo("\nstopping: what is under way is finished first (again to stop at once)", err=True)

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for future in [pool.submit(work.drain, session) for session in sessions]:
                while not future.done():
                    time.sleep(0.02)  # the main thread must be free to take a signal
                future.result()
    finally:
        signal.signal(signal.SIGINT, previous)


def _tell_dry(statuses: list[SessionStatus], as_json: bool) -> int:
    """The exit code: 1 where some would not go out, or are refused already."""
    code = int(any(s.dead_letters or not (s.identity or s.state == "empty") for s in statuses))
    if as_json:
        click.echo(json.dumps({"sessions": [s.to_dict() for s in statuses]}))
        return code
    for s in statuses:
        left = s.records - s.acknowledged
        to = f"to {s.destination} as {s.identity}" if s.identity else f"waits: {s.trouble}"
        click.echo(f"{s.kind} {_safe(s.id)}: {left:,} of {s.records:,} records to upload, {to}")
    if not statuses:
        click.echo("nothing to upload")
    return code


def _tell(work: _Work, after: list[SessionStatus], acknowledged: int, as_json: bool) -> int:
    """Print the result; the exit code."""
    left = [s for s in after if not s.uploaded or s.dead_letters or not _is_complete(work, s)]
    result = {
        "sessions": len(after),
        "uploaded": len(after) - len(left),
        "records": acknowledged,
        "bytes": work.progress.bytes,
        "left": [{"session": s.session, "id": s.id, "kind": s.kind, "reason": _reason(work, s)} for s in left],
    }
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(f"{result['uploaded']} of {len(after)} sessions uploaded, {acknowledged:,} records acknowledged")
        _tell_left(work, left)
    if work.stop.is_set():
        return 130 if left else 0
    return 1 if left else 0


def _tell_left(work: _Work, left: list[SessionStatus]) -> None:
    """One line a session, and one for all the others that are left for the same reason."""
    by_reason: dict[str, list[SessionStatus]] = {}
    for s in left:
        by_reason.setdefault(_reason(work, s), []).append(s)
    for reason, found in by_reason.items():
        for s in found[:_MOST_ALIKE]:
            click.echo(f"left: {s.kind} {_safe(s.id)}: {printable(reason, _LONGEST_REASON)}", err=True)
        if len(found) > _MOST_ALIKE:
            click.echo(
                f"left: {len(found) - _MOST_ALIKE:,} more for the same reason; `tracehouse status` lists them", err=True
            )


def _tell_omitted(omitted: int) -> None:
    if omitted:
        click.echo(
            f"{omitted:,} numbers were left out: NaN, infinities, metrics without a name, or what else the server dropped",
            err=True,
        )


def _is_complete(work: _Work, status: SessionStatus) -> bool:
    report = work.reports.get(status.session)
    return status.session in work.settled or (report is not None and report.outcome.complete)


def _is_settled(status: SessionStatus) -> bool:
    """Nothing is left to do: such sessions, most of an old spool, need no pass over them."""
    return status.uploaded and status.state in _ENDED and not (status.dead_letters or status.trouble)


def _reason(work: _Work, status: SessionStatus) -> str:
    report = work.reports.get(status.session)
    if report is None:
        return "interrupted before it was begun"
    if status.dead_letters:
        return f"{status.dead_letters} records refused: see `tracehouse deadletters list {argument(status.session)}`"
    trouble = report.outcome.trouble
    answered = report.destination is not None and report.outcome.scope != "lease"
    if trouble and answered and status.destination and status.destination not in trouble:
        trouble = f"{status.destination}: {trouble}"
    return trouble or status.trouble or f"{status.bytes - status.acknowledged_bytes:,} bytes not acknowledged"


def _safe(text: str) -> str:
    return printable(text)


def _tell_damaged(before: list[SessionStatus], after: list[SessionStatus]) -> int:
    """What this sync met of it; 1 where that cost records, not only what was torn."""
    met = [(now, now.damaged_bytes - was.damaged_bytes) for was, now in zip(before, after)]
    met = [(s, size) for s, size in met if size > 0]
    if met:
        click.echo(f"{no_record(sum(size for _, size in met))}; `tracehouse verify` tells where", err=True)
    return int(any(s.has_lost for s, _ in met))


def _tell_missing(before: list[SessionStatus], after: list[SessionStatus]) -> int:
    """What this sync met of it; then 1, so that nobody deletes what this is to be a copy of."""
    met = sum(max(0, now.missing - was.missing) for was, now in zip(before, after))
    if met:
        told = f"{missing_records(met)}: their segments are not here; {COPY_AGAIN}"
        click.echo(f"{told}; `tracehouse verify` tells which", err=True)
    return int(met > 0)


def _tell_forgotten(forgotten: int) -> None:
    if forgotten:
        click.echo(
            f"{forgotten:,} records are gone: acknowledged, deleted here since, and then lost by the server", err=True
        )
