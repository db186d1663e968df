"""Histograms of a torch module's gradients and parameters, by hooks."""

from __future__ import annotations

from tracehouse.exceptions import ArgumentError
from tracehouse.wandb import told
from tracehouse.wandb.histograms import Histogram

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

WHAT = ("gradients", "parameters", "all", None)


class _Hook:
    """A function given to a parameter, which leaves nothing behind in copies and pickles of the module."""

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        self._call(*args)

    def __deepcopy__(self, _: object) -> Callable[..., None]:
        return nothing

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _give_nothing, ()


def nothing(*_: object) -> None:
    """What is left of a hook in a copy of a module."""


def _give_nothing() -> Callable[..., None]:
    return nothing


class Watching:
    """One watched module: of each parameter, at every ``log_freq``-th gradient that comes back to it.

    The gradient is what counts, not the forward pass: many trainers never call the module itself.
    """

    def __init__(
        self, module: Any, log: Callable[[dict[str, Any]], None], what: str, log_freq: int, prefix: str
    ) -> None:
        self.module = module
        self._log = log
        self._freq = max(1, int(log_freq))
        self._names = ("gradients", "parameters") if what == "all" else (what,)
        self._handles: list[Any] = []
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                self._handles.append(parameter.register_hook(_Hook(self._follow(f"{prefix}{name}", parameter))))

    def _follow(self, name: str, parameter: Any) -> Callable[..., None]:
        seen = 0

        def call(gradient: Any) -> None:
            nonlocal seen
            seen += 1
            if seen % self._freq == 0:
                found = {"gradients": gradient, "parameters": parameter}
                self._log({f"{kind}/{name}": Histogram(found[kind]) for kind in self._names})

        return call

    def stop(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


def begin(
    models: Any, log: Callable[[dict[str, Any]], None], what: str | None, log_freq: int, first: int
) -> list[Watching]:
    """Watch a module, or each of several; ``first`` is how many are watched already. ArgumentError for an unknown ``what``."""
    if what not in WHAT:
        raise ArgumentError(f"log must be one of {WHAT}, got {what!r}")
    watched = []
    for n, module in enumerate(models if isinstance(models, (list, tuple)) else (models,), first):
        if not hasattr(module, "named_parameters"):
            told.once(f"wandb.watch({type(module).__name__})", "only torch modules can be watched")
        elif what is not None:
            watched.append(Watching(module, log, what, log_freq, f"graph_{n}/" if n else ""))
    return watched
