"""What ``define_metric`` says of metrics: their x-axis, and what of their values is the summary."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tracehouse.wandb.failures import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SUMMARIES = ("min", "max", "mean", "best", "first", "last", "copy", "none")
GOALS = ("minimize", "maximize")


class Metric:
    """One definition: ``name`` (``*`` stands for any text), ``step_metric``, ``summary``, ``goal``, ``hidden``, all in ``spec``.

    >>> run = wandb.init(project="demo")
    >>> metric = wandb.define_metric("eval/*", step_metric="epoch", summary="max")
    >>> metric.name, metric.step_metric, metric.summary
    ('eval/*', 'epoch', 'max')
    """

    def __init__(self, name: str, spec: dict[str, Any]) -> None:
        self.name = name
        self.spec = spec
        self.step_metric: str | None = spec.get("step_metric")
        self.summary: str | None = spec.get("summary")
        self.goal: str | None = spec.get("goal")
        self.hidden = bool(spec.get("hidden"))
        self.step_sync: bool | None = spec.get("step_sync")

    def __repr__(self) -> str:
        return f"<Metric {self.name!r} {self.spec!r}>"


class Definitions:
    """All definitions of a run, in the order in which they were made; of those that fit a name, the last holds, an exact one first."""

    def __init__(self) -> None:
        self._made: dict[str, Metric] = {}
        self._known: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, spec: dict[str, Any], overwrite: bool | None) -> Metric:
        """Define; what an earlier definition of the same name says holds on unless overwritten."""
        spec = {key: value for key, value in spec.items() if value is not None}
        if name in self._made and not overwrite:
            spec = {**self._made[name].spec, **spec}
        _check(spec)
        self._made[name] = made = Metric(name, spec)
        self._known.clear()
        return made

    def specs(self) -> dict[str, dict[str, Any]]:
        """What is recorded of them, by name."""
        return {name: metric.spec for name, metric in self._made.items()}

    def summaries_of(self, name: str) -> tuple[str, ...]:
        """What is kept of a metric's values: ("last",) by default, () for none."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._find(name)
        return found

    def _find(self, name: str) -> tuple[str, ...]:
        fitting = [metric for glob, metric in self._made.items() if glob != name and fnmatchcase(name, _escaped(glob))]
        exact = self._made.get(name)
        for metric in [exact, *reversed(fitting)] if exact is not None else reversed(fitting):
            if metric.summary:
                return _kept(metric)
        return ("last",)


def _kept(metric: Metric) -> tuple[str, ...]:
    words = [word.strip() for word in (metric.summary or "").split(",")]
    if "none" in words:
        return ()
    # the best of a metric is its least unless it is to be made great
    best = "best_max" if (metric.goal or "").startswith("max") else "best_min"
    return tuple({"best": best, "copy": "last"}.get(word, word) for word in words)


def _check(spec: dict[str, Any]) -> None:
    words = [word.strip() for word in str(spec.get("summary", "last")).split(",")]
    wrong = [word for word in words if word not in SUMMARIES]
    if wrong:
        raise Error(f"define_metric: summary must be of {SUMMARIES}, got {wrong[0]!r}")
    if "goal" in spec and spec["goal"] not in GOALS:
        raise Error(f"define_metric: goal must be one of {GOALS}, got {spec['goal']!r}")


def _escaped(glob: str) -> str:
    """Only ``*`` means anything but itself."""
    return glob.replace("[", "[[]").replace("?", "[?]")
