"""``wandb.wandb_run``, where some libraries look for the class of runs."""

from tracehouse.wandb.runs import Run

__all__ = ["Run"]
