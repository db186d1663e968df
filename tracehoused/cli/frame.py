"""A view of live sessions as lines of text that fit a terminal. Pure; text from spools is made harmless here."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tracehoused.cli.progress import human
from tracehoused.following import Feed, Latest
from tracehoused.text import printable

__all__ = ["Look", "frame", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_SPARK = 32
_KEYS = 3
_BOLD, _DIM, _RED, _GREEN, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m"
_SAID = {"user_msg": "user", "assistant_msg": "assistant", "tool_use": "tool", "tool_result": "result"}


@dataclass(frozen=True)
class Look:
    """What is to be shown. ``keys``: patterns of the metrics; without any, the first three that are not the system's."""

    spools: Sequence[str]
    at: str
    sessions: int
    live: int
    feeds: Sequence[Feed]
    keys: Sequence[str] = ()
    colour: bool = False


def frame(look: Look, width: int, height: int) -> list[str]:
    """At most ``height`` lines of at most ``width`` cells each."""
    paint = _Paint(look.colour, width)
    lines = [paint.line(_head(look), _BOLD)]
    if not look.feeds:
        lines.append(paint.line("no sessions yet: they appear when a job begins to log here", _DIM))
    for feed in look.feeds:
        lines += ["", *_session(feed, look.keys, paint)]
    if len(lines) > height:
        lines = [
            *lines[: max(0, height - 1)],
            paint.line("… more than fits: a larger terminal, or --key, shows it", _DIM),
        ]
    return lines[:height]


class _Paint:
    def __init__(self, colour: bool, width: int) -> None:
        self._colour = colour
        self._width = width

    def line(self, text: str, style: str = "") -> str:
        fitting = _cut(text, self._width)
        return f"{style}{fitting}{_PLAIN}" if self._colour and style else fitting


def _head(look: Look) -> str:
    rates = [rate for feed in look.feeds if (rate := feed.rates()) is not None]
    speed = f"{_per_second(sum(one[0] for one in rates), sum(one[1] for one in rates))}   " if rates else ""
    spools = ", ".join(printable(path) for path in look.spools)
    return f"tracehouse top   {look.at}   {look.live} live of {look.sessions:,} sessions   {speed}{spools}"


def _session(feed: Feed, keys: Sequence[str], paint: _Paint) -> list[str]:
    status = feed.status
    if status is None:
        return [paint.line(f"{printable(feed.path)}  {printable(feed.problem)}")]
    style = {"running": _GREEN, "crashed": _RED, "failed": _RED, "unreadable": _RED}.get(status.state, "")
    pending = max(0, status.records - status.acknowledged)
    size = human(max(0, status.bytes - status.acknowledged_bytes))
    parts = [
        f"{status.kind:<5} {printable(status.id, 60)}",
        status.state,
        _per_second(*rates) if (rates := feed.rates()) is not None and status.state == "running" else "",
        f"{status.records:,} records",
        "uploaded" if status.uploaded else f"pending {pending:,} ({size})",
        f"{status.dead_letters} dead letters" if status.dead_letters else "",
        f"{status.dropped} dropped" if status.dropped else "",
    ]
    lines = [paint.line("  ".join(filter(None, parts)), style)]
    shown = _chosen(feed.series, keys)
    names = max((_cells(printable(key, 40)) for key in shown), default=0)
    lines += [paint.line("  " + _series(printable(key, 40), names, feed.series[key])) for key in shown]
    if feed.said is not None:
        kind, text = feed.said
        lines.append(paint.line(f"  {printable(_SAID.get(kind, kind), 20)}: {printable(text, 400)}", _DIM))
    trouble = status.trouble or feed.problem
    if trouble:
        lines.append(paint.line(f"  ! {printable(trouble)}", _RED))
    return lines


def _chosen(series: dict[str, Latest], keys: Sequence[str]) -> list[str]:
    if keys:
        return [key for key in series if any(fnmatchcase(key, pattern) for pattern in keys)]
    return [key for key in series if not key.startswith("system/")][:_KEYS]


def _series(name: str, width: int, latest: Latest) -> str:
    padded = name + " " * (width - _cells(name))
    return f"{padded}  {sparkline(latest.values)}  {latest.values[-1]:.5g}  step {printable(str(latest.step), 20)}"


def sparkline(values: Iterable[float], width: int = _SPARK) -> str:
    """So many bars, the newest at the right; a bar is the mean of its share of the values; blank where none of them is finite."""
    given = list(values)
    share = max(1, math.ceil(len(given) / width))
    cut = [given[max(0, end - share) : end] for end in range(len(given), 0, -share)][::-1]
    finite = [[value for value in part if math.isfinite(value)] for part in cut]
    means = [sum(part) / len(part) if part else math.nan for part in finite]
    known = [mean for mean in means if math.isfinite(mean)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return "".join(_bar(mean, low, high) for mean in means).rjust(width)


def _bar(mean: float, low: float, high: float) -> str:
    if not math.isfinite(mean):
        return " "
    # halves: the span of two large numbers may be beyond a double
    part = (mean / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0
    return _BARS[min(len(_BARS) - 1, int(part * len(_BARS)))]


def _per_second(records: float, size: float) -> str:
    return f"{records:,.0f} records/s  {human(max(0.0, size))}/s"


def _cells(text: str) -> int:
    """How wide a terminal draws it."""
    return sum(_cell(char) for char in text)


def _cell(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _cut(text: str, width: int) -> str:
    if _cells(text) <= width:
        return text
    used, kept = 0, []
    for char in text:
        used += _cell(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…" if width > 0 else ""
