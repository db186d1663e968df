"""Rows as a Parquet file, a row group at a time. Needs pyarrow (the extra ``parquet``).

Numbers of metrics are in ``value`` (double), whatever else was logged in ``value_text`` (JSON, or the text itself); times are
timestamps in UTC (microseconds), null where there is none to be read.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from typing import Any

from tracehoused.exceptions import ConfigError
from tracehoused.export.output import published
from tracehoused.export.tables import COLUMNS
from tracehoused.export.times import nanoseconds

__all__ = ["GROUP_ROWS", "check_available", "write"]

GROUP_ROWS = 50_000
_GROUP_TEXT = 16 << 20
_TIMES = ("wall_time", "start_at", "end_at", "started_at", "ended_at")
_WHOLE = ("attempt", "step", "spans")
_NUMBERS = ("value", "reward")
_INT64 = 1 << 63


def check_available() -> None:
    """ConfigError that says what to install, where pyarrow is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        message = "Parquet needs pyarrow, which is not installed"
        raise ConfigError(
            message, name="format", value="parquet", source="--format", hint="pip install 'tracehouse-sdk[parquet]'"
        )


def write(path: str, what: str, rows: Iterable[tuple[Any, ...]], group_rows: int = GROUP_ROWS) -> int:
    """Write a table of ``tables.COLUMNS`` to a new file in place of any old one; how many rows it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(pa, what)
    count = 0
    with published(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for group in _groups(rows, group_rows):
            writer.write_table(pa.table(_columns(what, group), schema=schema))
            count += len(group)
    return count


def _groups(rows: Iterable[tuple[Any, ...]], most: int) -> Iterator[list[tuple[Any, ...]]]:
    """Rows by at most so many, and about 16 million characters."""
    group: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(cell) for cell in row if isinstance(cell, str))
        if len(group) >= most or size >= _GROUP_TEXT:
            yield group
            group, size = [], 0
    if group:
        yield group


def _schema(pa: Any, what: str) -> Any:
    fields = []
    for name in COLUMNS[what]:
        kind = pa.timestamp("us", tz="UTC") if name in _TIMES else pa.int64() if name in _WHOLE else pa.string()
        fields.append((name, pa.float64() if name in _NUMBERS else kind))
    if what == "metrics":
        fields.append(("value_text", pa.string()))
    return pa.schema(fields)


def _columns(what: str, group: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    made: dict[str, list[Any]] = {}
    for name, cells in zip(COLUMNS[what], zip(*group)):
        if name == "value":
            made[name] = [_number(cell) for cell in cells]
            made["value_text"] = [_text(cell) if number is None else None for cell, number in zip(cells, made[name])]
        elif name in _NUMBERS:
            made[name] = [_number(cell) for cell in cells]
        elif name in _TIMES:
            made[name] = [None if (ns := nanoseconds(cell)) is None else ns // 1000 for cell in cells]
        elif name in _WHOLE:
            made[name] = [cell if type(cell) is int and -_INT64 <= cell < _INT64 else None for cell in cells]
        else:
            made[name] = [_text(cell) for cell in cells]
    return made


def _number(cell: Any) -> float | None:
    try:
        return float(cell) if isinstance(cell, (int, float)) else None
    except OverflowError:
        return None


def _text(cell: Any) -> str | None:
    if cell is None:
        return None
    told = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return told.encode("utf-8", "backslashreplace").decode()
