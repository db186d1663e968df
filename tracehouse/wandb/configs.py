"""A run's configuration, as wandb's users treat it."""

from __future__ import annotations

from tracehouse.mapping import variables
from tracehouse.wandb.failures import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView
    from typing import Any, Callable


class Config:
    """Values by name, as items and as attributes; each that is set is recorded.

    A value may change; ``update(…, allow_val_change=False)`` refuses that with ConfigError. ``argparse.Namespace`` and its like are
    taken for their variables.

    >>> run = wandb.init(project="demo", config={"lr": 1e-3})
    >>> wandb.config.epochs = 3
    >>> wandb.config.update({"seed": 1})
    >>> wandb.config.lr, wandb.config["epochs"], wandb.config.get("x", 0), sorted(wandb.config.keys())
    (0.001, 3, 0, ['epochs', 'lr', 'seed'])
    """

    _values: dict[str, Any]
    _record: Callable[[dict[str, Any]], None]
    _may_change: bool | None

    def __init__(
        self, given: dict[str, Any], record: Callable[[dict[str, Any]], None], may_change: bool | None = None
    ) -> None:
        self.__dict__.update(_values=dict(given), _record=record, _may_change=may_change)

    def update(self, d: Any = None, allow_val_change: bool | None = None, **kwargs: Any) -> None:
        """Set many, in one record."""
        changes = {**as_config(d), **kwargs}
        may_change = self._may_change if allow_val_change is None else allow_val_change
        if may_change is False:
            for key, value in changes.items():
                if key in self._values and not _same(self._values[key], value):
                    raise ConfigError(
                        f"config value {key!r} is {self._values[key]!r} and was to become {value!r}; "
                        "allow_val_change=True lets it"
                    )
        if changes:
            self._record(changes)
            self._values.update(changes)

    def setdefaults(self, d: Any) -> None:
        """Set those that are not there yet."""
        self.update({key: value for key, value in as_config(d).items() if key not in self._values})

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value, which is set where it is not there yet."""
        if key not in self._values:
            self[key] = default
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__") or key not in self._values:
            raise AttributeError(f"config has no {key!r}")
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or the default."""
        return self._values.get(key, default)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._values.keys()

    def values(self) -> ValuesView[Any]:
        """The values."""
        return self._values.values()

    def items(self) -> ItemsView[str, Any]:
        """Names and values."""
        return self._values.items()

    def as_dict(self) -> dict[str, Any]:
        """A copy, as a dict."""
        return dict(self._values)

    def persist(self) -> None:
        """Nothing: what is set is recorded."""

    def __repr__(self) -> str:
        return f"<tracehouse.config {self._values!r}>"


def as_config(given: Any) -> dict[str, Any]:
    """A dict of what a config can be given as: a mapping, pairs, a Namespace, the flags of absl, or None."""
    if given is None:
        return {}
    if hasattr(given, "flag_values_dict"):
        given = given.flag_values_dict()
    fields = getattr(type(given), "__dataclass_fields__", None)
    if fields is not None:
        given = {name: getattr(given, name) for name in fields}
    return {str(key): value for key, value in dict(variables(given)).items()}


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - a user's __eq__ can raise anything; an array's has no single answer
        return False
