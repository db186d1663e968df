"""Dicts of a run whose changes are recorded."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable

    _Dict = dict[str, Any]
else:
    _Dict = dict


class RecordedDict(_Dict):
    """A dict that records each of its items as it is set. What is changed inside a value, or removed, is not recorded.

    >>> run = cm.init_run(config={"lr": 1e-3})
    >>> run.config["lr"] = 1e-4
    >>> run.config.update(warmup=10)
    >>> run.config.setdefault("seed", 1), run.config
    (1, {'lr': 0.0001, 'warmup': 10, 'seed': 1})
    """

    def __init__(self, given: Mapping[str, Any], record: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(given)
        self._record = record

    def __setitem__(self, key: str, value: Any) -> None:
        self._record({key: value})
        super().__setitem__(key, value)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As dict.update, in one record. An ``argparse.Namespace`` is taken for its variables."""
        changes: dict[str, Any] = dict(*map(variables, args), **kwargs)
        if changes:
            self._record(changes)
        super().update(changes)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As dict.setdefault; a default that is taken is recorded."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other: Any) -> RecordedDict:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        # copies and pickles are plain dicts: they record nothing
        return dict, (dict(self),)


def variables(given: Any) -> Any:
    """The variables of an ``argparse.Namespace`` and its like; anything else as it is."""
    return vars(given) if hasattr(given, "__dict__") and not hasattr(given, "keys") else given
