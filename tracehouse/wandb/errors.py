"""``wandb.errors``: the names under which wandb's users catch its errors."""

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
