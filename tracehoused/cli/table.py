"""Sessions as a table: as wide as the terminal and nothing lost in it, or one whole line each where it goes elsewhere. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tracehoused.cli.progress import human
from tracehoused.status import SessionStatus
from tracehoused.text import printable

__all__ = ["lines"]

_HEAD = ("KIND", "ID", "NAME", "STATE", "RECORDS", "BYTES", "DEAD", "LAST ERROR")
_ID, _NAME = 1, 2
_GAP = "  "
_SAME = "(the same)"
_LONGEST = 60
# columns: what ids and names keep, and what a reason needs to stand beside its row
_LEAST, _BESIDE = 12, 50


def lines(found: Sequence[SessionStatus], width: int | None) -> list[str]:
    """The table's lines, at most ``width`` columns wide (but for words that are longer); None: however wide."""
    rows = [_HEAD, *map(_row, found)]
    if not any(row[_NAME] for row in rows[1:]):
        rows = [(*row[:_NAME], *row[_NAME + 1 :]) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    if width is not None:
        flexible = (_ID, _NAME) if len(rows[0]) == len(_HEAD) else (_ID,)
        beside = width - any(row[-1] for row in rows[1:]) * (_BESIDE + len(_GAP))
        widths = _narrowed(widths, beside, flexible) or _narrowed(widths, width, flexible) or widths
    made: list[str] = []
    above = ""
    for row in rows:
        cells = _GAP.join(_cut(cell, size).ljust(size) for cell, size in zip(row, widths))
        is_long = width is not None and len(cells) + len(_GAP) + len(row[-1]) > width
        made += _with_reason(cells, _SAME if is_long and row[-1] == above else row[-1], width)
        above = row[-1]
    return made


def _row(s: SessionStatus) -> tuple[str, ...]:
    return (
        s.kind,
        printable(s.id, _LONGEST),
        printable(s.name or "", _LONGEST),
        s.state,
        f"{s.acknowledged:,}/{s.records:,}",
        f"{human(s.acknowledged_bytes)}/{human(s.bytes)}",
        str(s.dead_letters),
        printable(s.trouble, 1000),
    )


def _narrowed(widths: list[int], room: int, flexible: tuple[int, ...]) -> list[int] | None:
    """Less for ids and names, the longer one first, so that all fits; None where that is not enough."""
    narrowed = list(widths)
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    while over > 0:
        longest = max(flexible, key=lambda column: narrowed[column])
        if narrowed[longest] <= _LEAST:
            return None
        narrowed[longest] -= 1
        over -= 1
    return narrowed


def _cut(cell: str, size: int) -> str:
    return cell if len(cell) <= size else cell[: size - 1] + "…"


def _with_reason(cells: str, reason: str, width: int | None) -> list[str]:
    """The reason beside its row where there is room for it, else below; its words are never cut, for some are commands."""
    if width is None or len(cells) + len(_GAP) + len(reason) <= width:
        return [f"{cells}{_GAP}{reason}".rstrip()]
    room = width - len(cells) - len(_GAP)
    if room >= _BESIDE:
        first, *more = _wrapped(reason, room)
        return [f"{cells}{_GAP}{first}", *(" " * (len(cells) + len(_GAP)) + line for line in more)]
    below = _wrapped(reason, max(width - 4, _LEAST)) if reason != _HEAD[-1] else []
    return [cells.rstrip(), *(f"    {line}" for line in below)]


def _wrapped(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
