"""``wandb.util``, as far as scripts use it.

>>> len(wandb.util.generate_id())
12
"""

from tracehouse.wandb.starting import generate_id

__all__ = ["generate_id"]
