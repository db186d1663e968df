"""A set of whole numbers kept as closed ranges: which records are settled. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Intervals"]


class Intervals:
    """Grows mostly at its end; membership is a bisection."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[Iterable[int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Join [first, last] to the set."""
        if not 0 < first <= last:
            raise ValueError(f"not a range of sequence numbers: {first}..{last}")
        firsts, lasts = self._firsts, self._lasts
        if not lasts or first > lasts[-1] + 1:
            firsts.append(first)
            lasts.append(last)
            return
        low = bisect_right(lasts, first - 2)
        high = bisect_right(firsts, last + 1)
        if low < high:
            first, last = min(first, firsts[low]), max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    @property
    def last(self) -> int:
        """The greatest member, 0 when there is none."""
        return self._lasts[-1] if self._lasts else 0

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def covers(self, first: int, last: int) -> bool:
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]

    def meets(self, first: int, last: int) -> bool:
        """Whether any of [first, last] is in the set."""
        at = bisect_right(self._firsts, last) - 1
        return at >= 0 and self._lasts[at] >= first

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts)

    def __len__(self) -> int:
        """How many numbers are in it."""
        return sum(last - first + 1 for first, last in self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def to_list(self) -> list[list[int]]:
        return [[first, last] for first, last in self]

    def __repr__(self) -> str:
        return f"Intervals({self.to_list()})"
