"""``wandb.sdk.lib.config_util``."""

from tracehouse.wandb.failures import ConfigError

__all__ = ["ConfigError"]
