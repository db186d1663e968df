"""``wandb.errors``: the names under which wandb's users catch its errors.

>>> try:
...     wandb.log({"loss": 0.5})
... except wandb.errors.Error as error:
...     print(error)
no active run — call tracehouse.wandb.init() first
"""

from tracehouse.wandb.failures import (
    AuthenticationError,
    CommError,
    ConfigError,
    Error,
    NoRunError,
    UnsupportedError,
    UsageError,
)

__all__ = [
    "AuthenticationError",
    "CommError",
    "ConfigError",
    "Error",
    "NoRunError",
    "UnsupportedError",
    "UsageError",
]
