"""Histograms, with numpy or without."""

from __future__ import annotations

import math
from bisect import bisect_right

from tracehouse import late
from tracehouse.exceptions import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MAX_BINS = 512


class Histogram:
    """Counts of numbers in ``num_bins`` (512 at most) equal bins between the least and the greatest.

    ``sequence``: numbers, in a list, any iterable, a numpy array or a torch tensor of any shape. NaN and infinities are in no bin; how
    many there were is in ``nonfinite``. ``np_histogram``: a pair (counts, edges) made already. ``bins`` are the edges, one more than
    ``counts``. ArgumentError (a ValueError) for too many bins, and for what is no number.

    >>> wandb.Histogram([1, 2, 3, 4], num_bins=2).counts
    [2, 2]
    """

    MAX_LENGTH = MAX_BINS

    def __init__(
        self,
        sequence: Iterable[Any] | None = None,
        np_histogram: tuple[Any, Any] | None = None,
        num_bins: int = 64,
    ) -> None:
        self.nonfinite = 0
        if np_histogram is not None:
            if len(np_histogram) != 2:
                raise ArgumentError("np_histogram must be a pair (counts, edges)")
            counts, bins = np_histogram
            self.counts = [*_listed(counts)]
            self.bins = [*_listed(bins)]
            if len(self.bins) != len(self.counts) + 1:
                raise ArgumentError("np_histogram must have one edge more than counts")
        else:
            if not 1 <= num_bins <= MAX_BINS:
                raise ArgumentError(f"num_bins must be 1 to {MAX_BINS}, got {num_bins}")
            self._count(sequence, num_bins)
        if len(self.counts) > MAX_BINS:
            raise ArgumentError(f"a histogram has at most {MAX_BINS} bins, got {len(self.counts)}")

    @property
    def histogram(self) -> list[Any]:
        """The counts, by wandb's name."""
        return self.counts

    def entries(self, name: str, _: object = None) -> dict[str, Any]:
        """As it is logged under a name."""
        value: dict[str, Any] = {"_type": "histogram", "counts": self.counts, "bins": self.bins}
        if self.nonfinite:
            value["nonfinite"] = self.nonfinite
        return {name: value}

    def _count(self, sequence: Any, num_bins: int) -> None:
        if hasattr(type(sequence), "dtype"):
            done = _count_array(sequence, num_bins)
            if done is not None:
                self.counts, self.bins, self.nonfinite = done
                return
        try:
            numbers = [float(number) for number in _flat(sequence)]
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"a histogram is made of numbers: {error}") from error
        finite = [number for number in numbers if math.isfinite(number)]
        self.nonfinite = len(numbers) - len(finite)
        self.counts, self.bins = _count_numbers(finite, num_bins)

    def __repr__(self) -> str:
        return f"<Histogram of {sum(self.counts)} in {len(self.counts)} bins>"


def _count_array(array: Any, num_bins: int) -> tuple[list[Any], list[Any], int] | None:
    """By numpy; None where it is not there, or cannot."""
    try:
        np = late.outside("numpy")
    except ImportError:
        return None
    if hasattr(type(array), "detach"):
        array = array.detach().cpu()
        array = array.to_dense() if getattr(array, "is_sparse", False) else array
        array = array.float() if array.is_floating_point() else array
    flat = np.asarray(array).ravel()
    if flat.dtype.kind not in "biuf":
        return None
    flat = flat.astype(np.float64, copy=False)
    finite = flat[np.isfinite(flat)]
    if finite.size and not math.isfinite(float(finite.max()) - float(finite.min())):
        return None  # a range wider than a double
    counts, bins = np.histogram(finite, bins=num_bins)
    return counts.tolist(), bins.tolist(), int(flat.size - finite.size)


def _count_numbers(numbers: list[float], num_bins: int) -> tuple[list[int], list[float]]:
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    shares = [i / num_bins for i in range(num_bins + 1)]
    # so written, it cannot overflow
    edges = [low * (1 - share) + high * share for share in shares]
    counts = [0] * num_bins
    for number in numbers:
        counts[min(max(bisect_right(edges, number) - 1, 0), num_bins - 1)] += 1
    return counts, edges


def _flat(sequence: Any) -> Iterable[Any]:
    if sequence is None:
        return
    for member in _listed(sequence):
        if hasattr(member, "__iter__") and not isinstance(member, (str, bytes)):
            yield from _flat(member)
        else:
            yield member


def _listed(sequence: Any) -> Any:
    if hasattr(type(sequence), "detach"):
        sequence = sequence.detach()
    made = sequence.tolist() if hasattr(sequence, "tolist") else sequence
    return made if hasattr(made, "__iter__") else [made]
