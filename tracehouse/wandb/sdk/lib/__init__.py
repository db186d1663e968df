"""``wandb.sdk.lib``."""

from tracehouse.wandb.runs import Run as RunDisabled

__all__ = ["RunDisabled"]
