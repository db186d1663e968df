"""The run that ``wandb.run`` is, and the module's ``config`` and ``summary``, which are that run's."""

from __future__ import annotations

from tracehouse.wandb.failures import NoRunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable

    from tracehouse.wandb.runs import Run

_run: Run | None = None


def get() -> Run | None:
    """The run, if there is one."""
    return _run


def put(run: Run | None) -> None:
    """Make it the one."""
    global _run
    _run = run


def require() -> Run:
    """The run; NoRunError when there is none."""
    if _run is None:
        raise NoRunError("no active run — call tracehouse.wandb.init() first")
    return _run


class Proxy:
    """Stands for a part of whatever run is current; without one, each use raises NoRunError."""

    _part: Callable[[Run], Any]
    _name: str

    def __init__(self, name: str, part: Callable[[Run], Any]) -> None:
        self.__dict__.update(_name=name, _part=part)

    def _get(self) -> Any:
        return self._part(require())

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return getattr(self._get(), key)

    def __setattr__(self, key: str, value: Any) -> None:
        setattr(self._get(), key, value)

    def __getitem__(self, key: str) -> Any:
        return self._get()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._get()[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._get()

    def __iter__(self) -> Iterator[str]:
        return iter(self._get())

    def __len__(self) -> int:
        return len(self._get())

    def __repr__(self) -> str:
        return f"<tracehouse.{self._name} of no run>" if _run is None else repr(self._get())


config: Proxy = Proxy("config", lambda run: run.config)
summary: Proxy = Proxy("summary", lambda run: run.summary)
