"""``tracehouse show``: one session's conversation or metrics, read from the spool, in the terminal."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from tracehouse.spool import layout
from tracehouse.spool import record as framing
from tracehoused.cli.common import resolve_spools
from tracehoused.cli.finding import find_session
from tracehoused.config import resolve
from tracehoused.text import printable
from tracehoused.upload.batch import Record
from tracehoused.upload.opening import open_checked
from tracehoused.upload.reader import Scan, measure, read_manifest, scan, writers

__all__ = ["show"]

_ROLES = {
    "user_msg": "user",
    "assistant_msg": "assistant",
    "thinking": "thinking",
    "tool_use": "tool",
    "tool_result": "result",
    "attachment": "attachment",
}
_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 40


@click.command()
@click.argument("session")
@click.option("--spool", type=click.Path(file_okay=False), help="Where to look (default: the configured spools).")
@click.option("--full", is_flag=True, help="Texts in full; without it long ones are cut.")
def show(session: str, spool: str | None, full: bool) -> None:
    """SESSION is a session's directory, its id or name, or the beginning of an id."""
    path = find_session(session, resolve_spools(spool, resolve({}, environ=os.environ)))
    manifest = read_manifest(path)
    name = f" ({printable(manifest.name)})" if manifest.name else ""
    told = f"project {printable(manifest.project or '-')}  from {printable(manifest.created_at)}"
    click.echo(f"{manifest.kind} {printable(manifest.id)}{name}  {told}")
    if manifest.kind == "trace":
        _conversation(path, manifest.uid, full)
    else:
        _metrics(path, manifest.uid, full)


def _records(path: str, uid: str) -> Iterator[Record]:
    epochs = writers(path)
    measure(path, epochs)
    for epoch in epochs:
        seen: set[int] = set()
        for n, size in epoch.sizes.items():
            fd = open_checked(os.path.join(path, layout.segment_name(epoch.id, n)))
            try:
                for record in scan(fd, framing.checksum_seed(uid, epoch.id), 0, size, Scan(0)):
                    if record.seq not in seen:
                        seen.add(record.seq)
                        yield record
            finally:
                os.close(fd)


def _conversation(path: str, uid: str, full: bool) -> None:
    for record in _records(path, uid):
        if record.type not in (b"span", b"trace_patch"):
            continue
        fields = _fields(record)
        if fields is None:
            click.echo(f"\n[a {record.type.decode()} record that cannot be read]")
        elif record.type == b"span":
            _span(fields, full)
        else:
            fields.pop("session_id", None)
            click.echo(f"\n[{_cut(json.dumps(fields, ensure_ascii=False), full)}]")


def _fields(record: Record) -> dict[str, Any] | None:
    """None for what no emitter writes: no object, or one too deep or with numbers too long."""
    try:
        found = json.loads(record.data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _span(span: dict[str, Any], full: bool) -> None:
    attributes = span.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    role = _ROLES.get(str(span.get("kind")), str(span.get("kind")))
    if role in ("tool", "attachment"):
        role = f"{role} {span.get('name')}"
    body = attributes.get("text") or attributes.get("result_text")
    if body is None:
        body = json.dumps(attributes.get("tool_input", attributes), ensure_ascii=False)
    click.echo(f"\n{click.style(printable(role), bold=True)}  {printable(str(span.get('start_at')))}")
    for line in str(body).splitlines() or [""]:
        click.echo("  " + _cut(line, full))


def _metrics(path: str, uid: str, full: bool) -> None:
    series: dict[str, _Series] = {}
    others: dict[str, int] = {}
    for record in _records(path, uid):
        if record.type != b"metrics":
            others[record.type.decode()] = others.get(record.type.decode(), 0) + 1
            continue
        fields = _fields(record) or {}
        values = fields.get("values")
        for key, value in values.items() if isinstance(values, dict) else ():
            series.setdefault(key, _Series()).add(printable(str(fields.get("step"))), value)
    width = max([len(printable(key)) for key in series] or [0])
    for key in sorted(series):
        click.echo(f"{printable(key):<{width}}  {series[key].line(full)}")
    told = {"span": "spans", "trace": "rollouts", "media": "media files", "artifact": "artifacts"}
    click.echo("  ".join(_counted(others[kind], name) for kind, name in told.items() if others.get(kind)))


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name[:-1] if count == 1 else name}"


class _Series:
    """What one key was logged with: numbers as a line, of the rest the last."""

    def __init__(self) -> None:
        self._numbers: list[float] = []
        self._last_number_at: Any = None
        self._others = 0
        self._last: Any = None
        self._last_at: Any = None

    def add(self, step: Any, value: Any) -> None:
        number = _finite(value)
        if number is not None:
            self._numbers.append(number)
            self._last_number_at = step
        else:
            self._others += 1
            self._last, self._last_at = value, step

    def line(self, full: bool) -> str:
        if not self._numbers:
            return f"last {_shown(self._last, full)} at step {self._last_at}  {_counted(self._others, 'values')}"
        numbers = self._numbers
        more = f"  and {self._others:,} that are no finite numbers" if self._others else ""
        return (
            f"{_spark(numbers)}  last {numbers[-1]:.6g} at step {self._last_number_at}  "
            f"min {min(numbers):.6g}  max {max(numbers):.6g}  {_counted(len(numbers), 'points')}{more}"
        )


def _finite(value: Any) -> float | None:
    try:
        found = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _shown(value: Any, full: bool) -> str:
    if isinstance(value, dict) and value.get("_type") == "number":
        return _cut(str(value.get("value")), full)
    return _cut(json.dumps(value, ensure_ascii=False), full)


def _spark(values: list[float]) -> str:
    step = max(1, len(values) // _SPARK)
    shown = values[::step][-_SPARK:]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in shown).ljust(_SPARK)


def _cut(text: str, full: bool) -> str:
    limit = sys.maxsize if full else 400
    return printable(text, limit)
