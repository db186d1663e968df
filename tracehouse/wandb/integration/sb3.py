"""A callback for stable-baselines3, which must be installed."""

from __future__ import annotations

import os
from importlib import import_module

from tracehouse.wandb import current, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_callbacks: Any = import_module("stable_baselines3.common.callbacks")


class WandbCallback(_callbacks.BaseCallback):  # type: ignore[misc]
    """Config, gradients and models of an agent. Its metrics come by ``wandb.init(sync_tensorboard=True)``.

    ``gradient_save_freq``: every how many backward passes the gradients of the policy are logged, 0 for never.
    ``model_save_path``: a directory that the model is saved into, every ``model_save_freq`` calls (0: at the end of training
    only), and from there into the run.
    """

    def __init__(
        self,
        verbose: int = 0,
        model_save_path: str | None = None,
        model_save_freq: int = 0,
        gradient_save_freq: int = 0,
        log: str | None = "all",
    ) -> None:
        super().__init__(verbose)
        self.model_save_path = model_save_path
        self.model_save_freq = model_save_freq
        self.gradient_save_freq = gradient_save_freq
        self.log = log
        current.require()

    def _init_callback(self) -> None:
        config = {
            key: value
            for key, value in {"algo": type(self.model).__name__, **vars(self.model)}.items()
            if not key.startswith("_") and isinstance(value, (int, float, str, bool))
        }
        current.config.setdefaults(config)
        if self.gradient_save_freq > 0:
            current.require().watch(self.model.policy, log_freq=self.gradient_save_freq, log=self.log)

    def _on_step(self) -> bool:
        if self.model_save_freq > 0 and self.n_calls % self.model_save_freq == 0:
            self.save_model()
        return True

    def _on_training_end(self) -> None:
        self.save_model()

    def save_model(self) -> None:
        """Save the model, if it was said where."""
        if self.model_save_path is None:
            return
        if current.get() is None:
            told.once("WandbCallback.save_model()", "the run is finished")
            return
        path = os.path.join(self.model_save_path, "model.zip")
        os.makedirs(self.model_save_path, exist_ok=True)
        self.model.save(path)
        current.require().save(path, base_path=self.model_save_path)
