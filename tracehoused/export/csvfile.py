"""Rows as CSV: UTF-8, a header line, ``\\n`` line ends. Nothing of a table is kept in memory.

Text that begins as a formula does gets an apostrophe before it, for spreadsheets would compute it; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from tracehoused.text import not_a_formula

__all__ = ["lines"]


def lines(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    """The header, then each row. Lists and objects are JSON; what is missing is empty; what UTF-8 cannot hold is escaped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    yield _taken(text)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        yield _taken(text)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return not_a_formula(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _taken(text: io.StringIO) -> bytes:
    made = text.getvalue()
    text.seek(0)
    text.truncate()
    return made.encode("utf-8", "backslashreplace")
