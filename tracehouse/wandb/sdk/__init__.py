"""``wandb.sdk``: the few names of it that libraries import."""
