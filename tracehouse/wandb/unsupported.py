"""What has no counterpart here: each raises an error that names the way to go instead."""

from __future__ import annotations

from tracehouse.wandb.failures import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_READ = (
    "it reads from a server, and an emitter uses no network: look at what was recorded with `tracehouse show`, serve it with "
    "`tracehouse serve`, or read the spool's lines, which are JSON"
)
_SWEEP = (
    "there are no sweeps: choose the values in your own loop, or with Optuna or Ray Tune, and begin each trial with "
    "wandb.init(config=…, group=…, reinit=True)"
)


class Api:
    """Raises UnsupportedError, which names the way to go instead.

    >>> wandb.Api()
    Traceback (most recent call last):
    tracehouse.wandb.failures.UnsupportedError: wandb.Api: it reads from a server, and an emitter uses no network: ...
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        raise UnsupportedError(f"wandb.Api: {_READ}")


class PublicApi(Api):
    """Raises UnsupportedError, which names the way to go instead.

    >>> wandb.PublicApi()
    Traceback (most recent call last):
    tracehouse.wandb.failures.UnsupportedError: wandb.Api: ...
    """


def sweep(*_: Any, **__: Any) -> NoReturn:
    """Raises UnsupportedError, which names the way to go instead.

    >>> wandb.sweep({})
    Traceback (most recent call last):
    tracehouse.wandb.failures.UnsupportedError: wandb.sweep: there are no sweeps: ...
    """
    raise UnsupportedError(f"wandb.sweep: {_SWEEP}")


def agent(*_: Any, **__: Any) -> NoReturn:
    """Raises UnsupportedError, which names the way to go instead.

    >>> wandb.agent("id")
    Traceback (most recent call last):
    tracehouse.wandb.failures.UnsupportedError: wandb.agent: there are no sweeps: ...
    """
    raise UnsupportedError(f"wandb.agent: {_SWEEP}")


def controller(*_: Any, **__: Any) -> NoReturn:
    """Raises UnsupportedError, which names the way to go instead.

    >>> wandb.controller("id")
    Traceback (most recent call last):
    tracehouse.wandb.failures.UnsupportedError: wandb.controller: there are no sweeps: ...
    """
    raise UnsupportedError(f"wandb.controller: {_SWEEP}")
