"""Tables, whose cells may hold media."""

from __future__ import annotations

from tracehouse import late
from tracehouse.exceptions import ArgumentError
from tracehouse.wandb import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable, Optional

    Inner = Callable[[str, Any], Optional[dict[str, Any]]]

MAX_PART = 8 * 1024 * 1024
_DEFAULT_COLUMNS = ("Input", "Output", "Expected")


class Table:
    """Rows under named columns. A cell is any value that can be logged, media and figures among them.

    ``data``: rows, a two-dimensional array or a pandas DataFrame; ``dataframe``: the latter alone. A table whose JSON is over 4 MiB is
    kept as files of rows, which its value names. ArgumentError (a ValueError) for a row that does not fit the columns.

    >>> table = wandb.Table(columns=["prompt", "reward"])
    >>> table.add_data("2+2=", 1.0)
    >>> table.get_column("reward")
    [1.0]
    """

    MAX_ROWS = 10_000
    MAX_ARTIFACT_ROWS = 200_000

    def __init__(
        self,
        columns: Any = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        dtype: object = None,
        optional: object = True,
        allow_mixed_types: object = False,
        log_mode: object = None,
    ) -> None:
        self.columns: list[Any] = []
        self.data: list[list[Any]] = []
        given = data if data is not None else rows
        frame = dataframe if dataframe is not None else given if _is_frame(given) else None
        if frame is not None:
            self.columns = [str(name) for name in frame.columns]
            given = frame.rows() if hasattr(frame, "rows") else frame.values
        if hasattr(given, "tolist"):
            given = given.tolist()
        given = [list(row) for row in given] if given is not None else []
        if columns is not None:
            self.columns = list(columns)
        elif frame is None:
            self.columns = list(_DEFAULT_COLUMNS) if not given or len(given[0]) == 3 else list(range(len(given[0])))
        for row in given:
            self.add_data(*row)

    def add_data(self, *data: Any) -> None:
        """One row: a value for each column."""
        if len(data) != len(self.columns):
            raise ArgumentError(f"this table has {len(self.columns)} columns, {self.columns}; got {len(data)} values")
        self.data.append(list(data))

    def add_row(self, *row: Any) -> None:
        """``add_data`` by its older name."""
        self.add_data(*row)

    def add_column(self, name: str, data: Any, optional: bool = False) -> None:
        """One more column: a value for each row; the first column of an empty table makes the rows."""
        values = list(data.tolist() if hasattr(data, "tolist") else data)
        if not self.data and (not self.columns or self.columns == list(_DEFAULT_COLUMNS)):
            self.columns, self.data = [], [[] for _ in values]
        if len(values) != len(self.data):
            raise ArgumentError(f"this table has {len(self.data)} rows; got {len(values)} values for column {name!r}")
        self.columns.append(name)
        for row, value in zip(self.data, values):
            row.append(value)

    def add_computed_columns(self, fn: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
        """Columns made by ``fn(row number, row as a dict)``, which gives a dict of new cells."""
        made = [fn(i, dict(zip(self.columns, row))) for i, row in enumerate(self.data)]
        for name in made[0] if made else ():
            self.add_column(name, [cells[name] for cells in made])

    def get_column(self, name: str, convert_to: str | None = None) -> Any:
        """The values of a column, as a list or ``convert_to="numpy"``. KeyError where there is none of that name."""
        if name not in self.columns:
            raise KeyError(name)
        at = self.columns.index(name)
        values = [row[at] for row in self.data]
        if convert_to is None:
            return values
        return late.outside("numpy").array(values)

    def get_index(self) -> list[int]:
        """The numbers of the rows."""
        return list(range(len(self.data)))

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """(number, values) of each row."""
        yield from enumerate(self.data)

    def get_dataframe(self) -> Any:
        """As a pandas DataFrame."""
        return late.outside("pandas").DataFrame.from_records(self.data, columns=self.columns)

    def entries(self, name: str, inner: Inner) -> dict[str, Any]:
        """As it is logged under a name: the table, and beside it what ``inner`` makes of cells that are media."""
        beside: dict[str, Any] = {}
        columns = [str(column) for column in self.columns]
        rows = [
            [_cell(f"{name}/{column}/{n}", cell, beside, inner) for column, cell in zip(columns, row)]
            for n, row in enumerate(self.data)
        ]
        value: dict[str, Any] = {"_type": "table", "columns": columns, "data": rows}
        if files.is_too_long(value):
            parts = _parts(rows)
            named = {f"{name}/rows/{n}": part for n, part in enumerate(parts)}
            value = {"_type": "table", "columns": columns, "data": [], "rows": len(rows), "media": list(named)}
            beside.update({key: files.json_file(part, f"{key}.json") for key, part in named.items()})
        return {name: value, **beside}

    def __repr__(self) -> str:
        return f"<Table of {len(self.data)} rows, {self.columns}>"


def _cell(key: str, cell: Any, beside: dict[str, Any], inner: Inner) -> Any:
    made = inner(key, cell)
    if made is None or key not in made:
        beside.update(made or {})
        return cell if made is None else {"_type": "media", "media": list(made)}
    own = made.pop(key)
    beside.update(made)
    if isinstance(own, dict):
        return own
    beside[key] = own
    first = next((one for one in own if hasattr(one, "media_type")), None) if isinstance(own, list) else own
    return {"_type": getattr(first, "media_type", "media"), "media": key, "caption": getattr(first, "caption", None)}


def _parts(rows: list[list[Any]]) -> list[list[list[Any]]]:
    """The rows in parts that each fit a file."""
    from tracehouse.values import encode

    parts: list[list[list[Any]]] = [[]]
    size = 0
    for row in rows:
        length = len(encode({"": row}).encode("utf-8", "backslashreplace"))
        if parts[-1] and size + length > MAX_PART:
            parts.append([])
            size = 0
        parts[-1].append(row)
        size += length
    return parts


def _is_frame(value: object) -> bool:
    return type(value).__module__.startswith(("pandas", "polars")) and hasattr(value, "columns")
