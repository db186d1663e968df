"""``wandb.sdk.wandb_run``."""

from tracehouse.wandb.runs import Run

__all__ = ["Run"]
