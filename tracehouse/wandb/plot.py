"""``wandb.plot``: charts as tables that say which chart they are meant for.

Each function gives a ``Chart``; logged, it is ``{"_type": "table", "chart": …, "fields": …, "columns": …, "data": …}``.

>>> table = wandb.Table(columns=["prompt", "reward"], data=[["2+2=", 1.0]])
>>> wandb.plot.bar(table, "prompt", "reward", title="rewards")
<Chart bar, ...>
"""

from __future__ import annotations

from tracehouse.exceptions import ArgumentError
from tracehouse.wandb import curves
from tracehouse.wandb.tables import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.wandb.tables import Inner


class Chart:
    """A table, the kind of chart it is for, and which column goes where."""

    def __init__(self, kind: str, table: Table, fields: dict[str, Any], strings: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.table = table
        self.fields = fields
        self.strings = {name: text for name, text in (strings or {}).items() if text is not None}

    def entries(self, name: str, inner: Inner) -> dict[str, Any]:
        """As it is logged under a name."""
        made = self.table.entries(name, inner)
        made[name].update({"chart": self.kind, "fields": self.fields, **self.strings})
        return made

    def __repr__(self) -> str:
        return f"<Chart {self.kind}, {self.table!r}>"


def line(table: Table, x: str, y: str, stroke: str | None = None, title: str | None = None, **_: Any) -> Chart:
    """A line through the points of two columns; ``stroke`` is the column that tells several lines apart."""
    fields = {"x": x, "y": y, "stroke": stroke}
    return Chart("line", table, {name: one for name, one in fields.items() if one}, {"title": title})


def scatter(table: Table, x: str, y: str, title: str | None = None, **_: Any) -> Chart:
    """Points of two columns."""
    return Chart("scatter", table, {"x": x, "y": y}, {"title": title})


def bar(table: Table, label: str, value: str, title: str | None = None, **_: Any) -> Chart:
    """A bar for each row: the columns of its label and its length."""
    return Chart("bar", table, {"label": label, "value": value}, {"title": title})


def histogram(table: Table, value: str, title: str | None = None, **_: Any) -> Chart:
    """How the values of a column are distributed."""
    return Chart("histogram", table, {"value": value}, {"title": title})


def line_series(
    xs: Any, ys: Any, keys: Any = None, title: str | None = None, xname: str | None = None, **_: Any
) -> Chart:
    """Several lines: ``ys`` are their values, ``xs`` one list for all or one each, ``keys`` their names. ArgumentError
    for lengths that differ."""
    lines = [list(y) for y in ys]
    shared = not lines or not hasattr(xs[0], "__iter__")
    abscissae = [list(xs)] * len(lines) if shared else [list(x) for x in xs]
    names = list(keys) if keys is not None else [f"key_{n}" for n in range(len(lines))]
    if len(abscissae) != len(lines) or len(names) != len(lines):
        raise ArgumentError(f"line_series: {len(abscissae)} xs, {len(lines)} ys, {len(names)} keys")
    rows = [[x, key, y] for key, all_x, all_y in zip(names, abscissae, lines) for x, y in zip(all_x, all_y)]
    table = Table(columns=["step", "lineKey", "lineVal"], data=rows)
    return Chart(
        "lineseries", table, {"x": "step", "y": "lineVal", "stroke": "lineKey"}, {"title": title, "xname": xname}
    )


def confusion_matrix(
    probs: Any = None,
    y_true: Any = None,
    preds: Any = None,
    class_names: Any = None,
    title: str | None = None,
    **_: Any,
) -> Chart:
    """How often each class was taken for which: ``y_true`` and ``preds`` are class numbers, or ``probs`` (n, classes)."""
    rows = curves.confusion(probs, y_true, preds, class_names)
    table = Table(columns=["Actual", "Predicted", "nPredictions"], data=rows)
    fields = {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"}
    return Chart("confusion_matrix", table, fields, {"title": title})


def roc_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Any = None,
    classes_to_plot: Any = None,
    title: str | None = None,
    **_: Any,
) -> Chart:
    """True over false positives for each class: ``y_true`` (n,) are class numbers, ``y_probas`` (n, classes)."""
    rows = curves.roc(y_true, y_probas, labels, classes_to_plot)
    return Chart(
        "roc",
        Table(columns=["class", "fpr", "tpr"], data=rows),
        {"x": "fpr", "y": "tpr", "class": "class"},
        {"title": title},
    )


def pr_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Any = None,
    classes_to_plot: Any = None,
    interp_size: int = 21,
    title: str | None = None,
    **_: Any,
) -> Chart:
    """Precision over recall for each class, at ``interp_size`` values of recall; arguments as of ``roc_curve``."""
    rows = curves.precision_recall(y_true, y_probas, labels, classes_to_plot, interp_size)
    table = Table(columns=["class", "precision", "recall"], data=rows)
    return Chart("pr_curve", table, {"x": "recall", "y": "precision", "class": "class"}, {"title": title})


def plot_table(
    vega_spec_name: str, data_table: Table, fields: dict[str, Any], string_fields: Any = None, **_: Any
) -> Chart:
    """A table for a chart of any name: ``fields`` says which of its parts each column is.

    >>> table = wandb.Table(columns=["prompt", "reward"], data=[["2+2=", 1.0]])
    >>> wandb.plot_table("me/bars", table, {"label": "prompt", "value": "reward"})
    <Chart me/bars, ...>
    """
    return Chart(vega_spec_name, data_table, dict(fields), dict(string_fields or {}))


__all__ = [
    "Chart",
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
]
