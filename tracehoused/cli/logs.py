"""``tracehoused logs``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import click

from tracehoused.config import resolve
from tracehoused.service.logfile import told

__all__ = ["logs"]

_PAUSE = 0.25
_MOST = 4 << 20


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=50, show_default=True, help="How many of the last lines."
)
@click.option("--json", "as_json", is_flag=True, help="The lines as they are in the file: one JSON object each.")
def logs(follow: bool, lines: int, as_json: bool) -> None:
    """The agent's log."""
    path = resolve(environ=os.environ).log_file
    if not os.path.exists(path) and not follow:
        click.echo(f"there is no log at {path} yet", err=True)
        return
    try:
        for line in _lines(path, lines, follow):
            click.echo(line if as_json else _for_people(line))
    except KeyboardInterrupt:
        return


def _lines(path: str, last: int, follow: bool) -> Iterator[str]:
    inode, at = 0, 0
    first = True
    while True:
        try:
            with open(path, "rb") as file:
                found = os.fstat(file.fileno())
                if not first and (found.st_ino != inode or found.st_size < at):
                    at = 0  # rotated: the new one from its beginning
                inode = found.st_ino
                file.seek(max(0, found.st_size - _MOST) if first else at)
                data = file.read()
                whole = data.rpartition(b"\n")[0]
                at = file.tell() - len(data) + (len(whole) + 1 if whole else 0)
                read = whole.decode("utf-8", "replace").split("\n") if whole else []
                yield from (read[-last:] if last else []) if first else read
        except FileNotFoundError:
            pass  # between two rotations, or not begun
        if not follow:
            return
        first = False
        time.sleep(_PAUSE)


def _for_people(line: str) -> str:
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    return told(fields) if isinstance(fields, dict) else line
