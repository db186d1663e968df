"""The errors that wandb's users know, in tracehouse's own tree.

::

    Error (TracehouseError)              ``message``
    ├── CommError                        what only a server could do
    │   └── AuthenticationError
    ├── ConfigError                      a config value was to change that must not
    └── UsageError
        ├── NoRunError (NotActiveError)  wandb.init() was not called
        └── UnsupportedError             what has no counterpart here; the message names the alternative
"""

from __future__ import annotations

from tracehouse.exceptions import NotActiveError, TracehouseError


class Error(TracehouseError):
    """Base of the errors that this module raises itself. ``message`` is its text.

    >>> run = wandb.init(project="demo")
    >>> try:
    ...     metric = wandb.define_metric("loss", summary="least")
    ... except wandb.Error as error:
    ...     print(error.message)
    define_metric: ...
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class CommError(Error):
    """Something was asked of a server that an emitter, which uses no network, cannot ask.

    >>> run = wandb.init(project="demo")
    >>> wandb.restore("model.pt", run_path="me/demo/1")
    Traceback (most recent call last):
    tracehouse.wandb.failures.CommError: restore('model.pt'): an emitter uses no network ...
    """


class AuthenticationError(CommError):
    """A key is wrong."""


class ConfigError(Error):
    """A config value was to be changed with ``allow_val_change=False``."""


class UsageError(Error):
    """A call that cannot be right.

    >>> wandb.init(id="never-begun", resume="must")
    Traceback (most recent call last):
    tracehouse.wandb.failures.UsageError: resume='must', and there is no run 'never-begun' in ...
    """


class NoRunError(UsageError, NotActiveError):
    """There is no run: ``init`` was not called, or the run is finished."""


class UnsupportedError(UsageError):
    """There is no such thing here; the message names the way to go instead.

    >>> wandb.sweep({"method": "grid"})
    Traceback (most recent call last):
    tracehouse.wandb.failures.UnsupportedError: wandb.sweep: there are no sweeps: ...
    """


__all__ = [
    "AuthenticationError",
    "CommError",
    "ConfigError",
    "Error",
    "NoRunError",
    "UnsupportedError",
    "UsageError",
]
