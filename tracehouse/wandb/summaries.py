"""A run's summary: of each metric what is wanted of its values, and what the user sets."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from typing import Any, Callable

    from tracehouse.wandb.definitions import Definitions

_PLAIN_NUMBERS = (int, float)


class Summary:
    """Values by name, as items and as attributes, to write and to read back.

    Of a logged metric it is the last value, or what ``define_metric(summary=…)`` wants: then a dict such as ``{"min": 0.1}``, whose parts
    can also be had as ``summary["loss.min"]``. What is set here is recorded as a metric at the run's step, under ``summary/<name>`` where
    the name is that of a logged metric, whose curve would not be true otherwise.

    >>> run = wandb.init(project="demo")
    >>> metric = run.define_metric("loss", summary="min")
    >>> for loss in (0.5, 0.2, 0.3):
    ...     run.log({"loss": loss, "acc": 1 - loss})
    >>> wandb.summary["best_epoch"] = 1
    >>> wandb.summary["loss.min"], wandb.summary["acc"], wandb.summary.best_epoch
    (0.2, 0.7, 1)
    """

    _values: dict[str, Any]
    _logged: set[str]
    _means: dict[str, tuple[float, int]]
    _definitions: Definitions
    _record: Callable[[dict[str, Any]], None]
    _earlier: Callable[[], dict[str, Any]] | None

    def __init__(
        self,
        definitions: Definitions,
        record: Callable[[dict[str, Any]], None],
        earlier: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.__dict__.update(
            _values={}, _logged=set(), _means={}, _definitions=definitions, _record=record, _earlier=earlier
        )

    def note(self, values: dict[str, Any]) -> None:
        """What was logged, by flat names."""
        for name, value in values.items():
            self._logged.add(name)
            wanted = self._definitions.summaries_of(name)
            if wanted == ("last",):
                self._values[name] = _shown(value)
            elif wanted:
                self._aggregate(name, value, wanted)

    def note_facts(self, facts: dict[str, Any]) -> None:
        """What is told beside the metrics: ``_step`` and its like."""
        self._values.update(facts)

    def aggregates(self) -> dict[str, Any]:
        """What of metrics is wanted but the last value, as ``name.min`` and so on."""
        found = {}
        for name in self._logged:
            value = self._values.get(name)
            if isinstance(value, dict) and self._definitions.summaries_of(name) != ("last",):
                found.update({f"{name}.{part}": one for part, one in value.items() if part != "last"})
        return dict(sorted(found.items()))

    def _aggregate(self, name: str, value: Any, wanted: tuple[str, ...]) -> None:
        held = self._values.get(name)
        parts = self._values[name] = held if isinstance(held, dict) and "_type" not in held else {}
        if "last" in wanted:
            parts["last"] = _shown(value)
        number = _number(value)
        if number is None:
            return
        for word in wanted:
            if word in ("min", "best_min"):
                _keep(parts, word, number, number < parts.get(word.partition("_")[0], math.inf))
            elif word in ("max", "best_max"):
                _keep(parts, word, number, number > parts.get(word.partition("_")[0], -math.inf))
            elif word == "first":
                parts.setdefault("first", number)
            elif word == "mean":
                total, n = self._means.get(name, (0.0, 0))
                self._means[name] = total + number, n + 1
                parts["mean"] = (total + number) / (n + 1)

    def update(self, d: Any = None, **kwargs: Any) -> None:
        """Set many, in one record."""
        changes = {str(key): value for key, value in {**dict(d or {}), **kwargs}.items()}
        if not changes:
            return
        self._record({f"summary/{key}" if key in self._logged else key: value for key, value in changes.items()})
        self._values.update({key: _shown(value) for key, value in changes.items()})

    def _all(self) -> dict[str, Any]:
        """With what a resumed run had, which is looked up when it is first asked for."""
        if self._earlier is not None:
            held, earlier = dict(self._values), self._earlier
            self.__dict__["_earlier"] = None
            self._values.clear()
            self._values.update({**earlier(), **held})
        return self._values

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __setattr__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __getitem__(self, key: str) -> Any:
        if key in self._all():
            return self._all()[key]
        name, _, part = key.rpartition(".")
        held = self._all().get(name)
        if isinstance(held, dict) and part in held:
            return held[part]
        raise KeyError(key)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__") or key not in self._all():
            raise AttributeError(f"summary has no {key!r}")
        return self._all()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._all().keys()

    def values(self) -> ValuesView[Any]:
        """The values."""
        return self._all().values()

    def items(self) -> ItemsView[str, Any]:
        """Names and values."""
        return self._all().items()

    def as_dict(self) -> dict[str, Any]:
        """A copy, as a dict."""
        return dict(self._all())

    def __repr__(self) -> str:
        return f"<tracehouse.summary {self._all()!r}>"


def _keep(parts: dict[str, Any], word: str, number: float, is_better: bool) -> None:
    if is_better:
        parts[word.partition("_")[0]] = number


def _number(value: Any) -> float | int | None:
    """A number to compare, or None; NaN is none."""
    if type(value) not in _PLAIN_NUMBERS:
        if isinstance(value, str) or not hasattr(type(value), "__float__"):
            return None
        try:
            value = float(value)
        except (TypeError, ValueError, RuntimeError):
            return None
    return None if value != value else value


def _shown(value: Any) -> Any:
    """What is read back of it: a Python number of a library's scalar, and of media only what they are."""
    if hasattr(value, "media_type"):
        return {"_type": value.media_type, "caption": value.caption}
    if isinstance(value, (list, tuple)):
        return [_shown(one) for one in value]
    if hasattr(type(value), "dtype") and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value
