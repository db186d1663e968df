"""Downloads of metrics, every point of what the charts show: CSV, JSON, and Parquet where pyarrow is installed.

`/download.<format>?run=&series=&first=&last=&since=&until=`: the series by number, without any all of them; between steps,
and between times in µs, all inclusive. In CSV, text that a spreadsheet would compute stands behind an apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from tracehoused.house.api.read import number
from tracehoused.house.errors import unknown
from tracehoused.house.pages.answer import look_up, shown
from tracehoused.house.pages.choice import run_ids, series_numbers
from tracehoused.house.state import house_of
from tracehoused.house.store import chart, runs
from tracehoused.house.store.export import Cut, Line, points_of
from tracehoused.house.store.store import Store
from tracehoused.house.values import iso, nonfinite_name
from tracehoused.text import not_a_formula

FORMATS = ("csv", "json", *(("parquet",) if find_spec("pyarrow") else ()))
_HEAD = ("run", "run_id", "key", "attempt", "writer", "step", "value", "time")
_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "parquet": "application/vnd.apache.parquet"}
_ROWS = 10_000


@shown
async def download(request: Request) -> Response:
    wanted = request.path_params["format"]
    if wanted not in FORMATS:
        raise unknown("format", wanted)
    asked, numbers = run_ids(request), series_numbers(request)
    cut = Cut(*(number(request, name) for name in ("first", "last", "since", "until")))

    def query(connection: Any, caller: Any) -> list[Line]:
        named = {row.pk: row for row in (runs.run_row(connection, caller, one) for one in asked)}
        if numbers:
            found = chart.numbered_series(connection, list(named), numbers)
        else:
            found = [one for pk in named for one in chart.find_series(connection, pk, [])]
        return [Line(named[one.run].name, named[one.run].id, one.key, one.attempt, one.writer, one.id) for one in found]

    lines, store = await look_up(request, query), house_of(request).store
    headers = {"Content-Disposition": f'attachment; filename="metrics.{wanted}"'}
    if wanted == "parquet":
        path = await run_in_threadpool(_parquet, store, lines, cut)
        return FileResponse(path, media_type=_TYPES[wanted], headers=headers, background=BackgroundTask(path.unlink))
    text = _csv(store, lines, cut) if wanted == "csv" else _json(store, lines, cut)
    parts = (part.encode("utf-8", "replace") for part in text)
    return StreamingResponse(parts, media_type=_TYPES[wanted], headers=headers)


def _pages(store: Store, line: Line, cut: Cut) -> Iterator[list[tuple[int, Any, int]]]:
    """A series' points (step, value, µs) in pages, each read by itself, so that no download holds the database."""
    after: tuple[int, int] | None = None
    while True:
        rows = store.read(partial(points_of, series=line.series, cut=cut, limit=_ROWS, after=after))
        if rows:
            yield [(row.step, _value(row), row.us) for row in rows]
        if len(rows) < _ROWS:
            return
        after = (rows[-1].step, rows[-1].n)


def _value(row: Any) -> Any:
    if row.value is not None:
        return int(row.value) if row.value.is_integer() and abs(row.value) < 1e15 else row.value
    value = json.loads(row.json)
    return float(value["value"]) if isinstance(value, dict) and value.get("_type") == "number" else value


def _csv(store: Store, lines: list[Line], cut: Cut) -> Iterator[str]:
    yield ",".join(_HEAD) + "\r\n"
    for line in lines:
        for rows in _pages(store, line, cut):
            text = io.StringIO()
            named = [_cell(one) for one in line.named]
            csv.writer(text).writerows([*named, step, _cell(value), iso(us)] for step, value, us in rows)
            yield text.getvalue()


def _cell(value: Any) -> Any:
    return not_a_formula(value) if isinstance(value, str) else value


def _json(store: Store, lines: list[Line], cut: Cut) -> Iterator[str]:
    """{"series": [{run, run_id, key, attempt, writer, points: [[step, value, time], …]}, …]}; values that JSON lacks are
    the words NaN, Infinity and -Infinity."""
    yield '{"series":['
    for at, line in enumerate(lines):
        yield ("," if at else "") + json.dumps(dict(zip(_HEAD, line.named, strict=False)))[:-1] + ',"points":['
        first = True
        for rows in _pages(store, line, cut):
            texts = (json.dumps([step, _plain(value), iso(us)], separators=(",", ":")) for step, value, us in rows)
            yield ("" if first else ",") + ",".join(texts)
            first = False
        yield "]}"
    yield "]}\n"


def _plain(value: Any) -> Any:
    return nonfinite_name(value) if isinstance(value, float) and not math.isfinite(value) else value


def _parquet(store: Store, lines: list[Line], cut: Cut) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    text, whole = pa.string(), pa.int64()
    time = pa.timestamp("us", tz="UTC")
    types = (text, text, text, whole, text, whole, pa.float64(), time)
    schema = pa.schema(list(zip(_HEAD, types, strict=True)))
    handle = tempfile.NamedTemporaryFile(suffix=".parquet", delete=False)  # noqa: SIM115 - the answer removes it
    with handle, parquet.ParquetWriter(handle, schema) as writer:
        for line in lines:
            named = [
                str(one).encode("utf-8", "replace").decode() if isinstance(one, str) else one for one in line.named
            ]
            for rows in _pages(store, line, cut):
                steps, values, times = zip(*rows, strict=True)
                columns = [[one] * len(rows) for one in named]
                floats = [None if isinstance(value, str) else float(value) for value in values]
                arrays = [*columns, list(steps), floats, list(times)]
                writer.write_table(
                    pa.table([pa.array(a, t) for a, t in zip(arrays, types, strict=True)], schema=schema)
                )
    return Path(handle.name)
