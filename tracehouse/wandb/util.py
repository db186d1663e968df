"""``wandb.util``, as far as scripts use it."""

from tracehouse.wandb.starting import generate_id

__all__ = ["generate_id"]
