"""The functions of the module that are methods of its current run."""

from __future__ import annotations

from enum import Enum

from tracehouse.wandb import current
from tracehouse.wandb.starting import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tracehouse.wandb.artifacts import Artifact
    from tracehouse.wandb.definitions import Metric


class AlertLevel(Enum):
    """How grave an alert is.

    >>> wandb.AlertLevel.WARN.value
    'WARN'
    """

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


def log(
    data: Mapping[str, Any] | None = None,
    step: Any = None,
    commit: bool | None = None,
    sync: bool | None = None,
    **named: Any,
) -> None:
    """``Run.log`` of the current run; NoRunError (a TracehouseError) without one.

    >>> run = wandb.init(project="demo")
    >>> wandb.log({"loss": 0.5, "eval": {"acc": 0.9}})
    >>> wandb.summary["eval/acc"]
    0.9
    """
    current.require().log(data, step, commit, sync, **named)


def define_metric(name: str, *args: Any, **kwargs: Any) -> Metric:
    """``Run.define_metric`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> metric = wandb.define_metric("loss", summary="min")
    >>> for loss in (0.5, 0.3, 0.4):
    ...     wandb.log({"loss": loss})
    >>> wandb.summary["loss"]
    {'min': 0.3}
    """
    return current.require().define_metric(name, *args, **kwargs)


def watch(models: Any, *args: Any, **kwargs: Any) -> None:
    """``Run.watch`` of the current run; NoRunError without one.

    >>> import torch
    >>> run = wandb.init(project="demo")
    >>> model = torch.nn.Linear(2, 1)
    >>> wandb.watch(model, log="all", log_freq=1)
    >>> model(torch.ones(1, 2)).sum().backward()
    """
    current.require().watch(models, *args, **kwargs)


def unwatch(models: Any = None) -> None:
    """``Run.unwatch`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> wandb.unwatch()
    """
    current.require().unwatch(models)


def save(*args: Any, **kwargs: Any) -> list[str] | bool:
    """``Run.save`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> with open("notes.txt", "w") as file:
    ...     n = file.write("it works")
    >>> wandb.save("notes.txt")
    ['notes.txt']
    """
    return current.require().save(*args, **kwargs)


def restore(name: str, *args: Any, **kwargs: Any) -> Any:
    """``Run.restore`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> with open(f"{run.dir}/notes.txt", "w") as file:
    ...     n = file.write("it works")
    >>> with wandb.restore("notes.txt") as file:
    ...     file.read()
    'it works'
    """
    return current.require().restore(name, *args, **kwargs)


def alert(*args: Any, **kwargs: Any) -> None:
    """``Run.alert`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> wandb.alert("loss is NaN", "at step 300", level=wandb.AlertLevel.ERROR)
    """
    current.require().alert(*args, **kwargs)


def log_artifact(*args: Any, **kwargs: Any) -> Artifact:
    """``Run.log_artifact`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> with open("notes.txt", "w") as file:
    ...     n = file.write("it works")
    >>> wandb.log_artifact("notes.txt", name="notes", type="text")
    <Artifact notes:v0 (text), 1 files>
    """
    return current.require().log_artifact(*args, **kwargs)


def use_artifact(*args: Any, **kwargs: Any) -> Artifact:
    """``Run.use_artifact`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> wandb.use_artifact("me/demo/grid:v3", type="dataset").is_local
    False
    """
    return current.require().use_artifact(*args, **kwargs)


def log_model(*args: Any, **kwargs: Any) -> Artifact:
    """``Run.log_model`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> with open("notes.txt", "w") as file:
    ...     n = file.write("it works")
    >>> wandb.log_model("notes.txt", name="tiny").type
    'model'
    """
    return current.require().log_model(*args, **kwargs)


def use_model(name: str) -> str:
    """``Run.use_model`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> with open("notes.txt", "w") as file:
    ...     n = file.write("it works")
    >>> made = wandb.log_model("notes.txt", name="tiny")
    >>> wandb.use_model("tiny")
    'artifacts/tiny-v0/notes.txt'
    """
    return current.require().use_model(name)


def link_model(*args: Any, **kwargs: Any) -> None:
    """``Run.link_model`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> wandb.link_model("me/ppo-v1", revision="main")
    """
    current.require().link_model(*args, **kwargs)


def mark_preempting() -> None:
    """``Run.mark_preempting`` of the current run; NoRunError without one.

    >>> run = wandb.init(project="demo")
    >>> wandb.mark_preempting()
    """
    current.require().mark_preempting()


def setup(settings: Any = None) -> None:
    """Nothing: there is nothing to set up.

    >>> wandb.setup()
    """


def teardown(exit_code: int | None = None) -> None:
    """``finish`` by another name.

    >>> run = wandb.init(project="demo")
    >>> wandb.teardown()
    """
    finish(exit_code)


def require(requirement: Any = None, experiment: Any = None) -> None:
    """Nothing: there are no such features to ask for.

    >>> wandb.require("core")
    """
