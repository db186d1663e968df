"""The numbers of charts of classifiers, from labels and probabilities; in plain Python."""

from __future__ import annotations

from tracehouse.exceptions import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Rows = list[list[Any]]

MAX_POINTS = 1000


def confusion(probs: Any, y_true: Any, preds: Any, class_names: Any) -> Rows:
    """[actual, predicted, how often] for each pair of classes."""
    if y_true is None or (probs is None) == (preds is None):
        raise ArgumentError("confusion_matrix needs y_true and either preds or probs")
    actual = [int(one) for one in _listed(y_true)]
    if probs is None:
        predicted = [int(one) for one in _listed(preds)]
    else:
        predicted = [max(range(len(row)), key=row.__getitem__) for row in _listed(probs)]
    if len(actual) != len(predicted):
        raise ArgumentError(f"confusion_matrix: {len(actual)} labels and {len(predicted)} predictions")
    n = max([*actual, *predicted], default=-1) + 1
    names = list(class_names) if class_names is not None else [f"Class_{i + 1}" for i in range(n)]
    if len(names) < n:
        raise ArgumentError(f"confusion_matrix: {len(names)} class names for {n} classes")
    counts: dict[tuple[int, int], int] = {}
    for pair in zip(actual, predicted):
        counts[pair] = counts.get(pair, 0) + 1
    return [[names[i], names[j], counts.get((i, j), 0)] for i in range(len(names)) for j in range(len(names))]


def roc(y_true: Any, y_probas: Any, labels: Any, classes: Any) -> Rows:
    """[class, false positive rate, true positive rate], ascending."""
    rows: Rows = []
    for name, hits in _by_class(y_true, y_probas, labels, classes):
        positives = sum(is_hit for _, is_hit in hits)
        negatives = len(hits) - positives
        points = [[0.0, 0.0]]
        for true, false in _cumulated(hits):
            points.append([false / negatives if negatives else 0.0, true / positives if positives else 0.0])
        rows += [[name, *point] for point in _thinned(points)]
    return rows


def precision_recall(y_true: Any, y_probas: Any, labels: Any, classes: Any, size: int) -> Rows:
    """[class, precision, recall] at ``size`` values of recall: of each the best precision at that recall or beyond."""
    rows: Rows = []
    steps = [i / (size - 1) for i in range(size)] if size > 1 else [1.0]
    for name, hits in _by_class(y_true, y_probas, labels, classes):
        positives = sum(is_hit for _, is_hit in hits)
        points = [(true / positives if positives else 0.0, true / (true + false)) for true, false in _cumulated(hits)]
        for recall in steps:
            best = max((precision for at, precision in points if at >= recall - 1e-12), default=0.0)
            rows.append([name, best, recall])
    return rows


def _by_class(y_true: Any, y_probas: Any, labels: Any, classes: Any) -> list[tuple[Any, list[tuple[float, bool]]]]:
    if y_true is None or y_probas is None:
        raise ArgumentError("y_true and y_probas are needed")
    actual, probas = _listed(y_true), [_listed(row) for row in _listed(y_probas)]
    if len(actual) != len(probas):
        raise ArgumentError(f"{len(actual)} labels and {len(probas)} rows of probabilities")
    known = (
        sorted(set(actual))
        if len(set(actual)) == len(probas[0] if probas else [])
        else range(len(probas[0] if probas else []))
    )
    found = []
    for column, label in enumerate(known):
        if classes is None or label in classes:
            name = labels[column] if labels is not None else label
            found.append((name, [(row[column], one == label) for row, one in zip(probas, actual)]))
    return found


def _cumulated(hits: list[tuple[float, bool]]) -> list[tuple[int, int]]:
    """(true, false) positives with the threshold at each score, from the highest down."""
    ordered = sorted(hits, key=lambda hit: -hit[0])
    true = false = 0
    counts = []
    for n, (score, is_hit) in enumerate(ordered):
        true, false = true + is_hit, false + (not is_hit)
        if n + 1 == len(ordered) or ordered[n + 1][0] != score:
            counts.append((true, false))
    return counts


def _thinned(points: Rows) -> Rows:
    if len(points) <= MAX_POINTS:
        return points
    return [points[i * (len(points) - 1) // (MAX_POINTS - 1)] for i in range(MAX_POINTS)]


def _listed(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)
