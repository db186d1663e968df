"""A logger object that holds the run, as Lightning's does: lazy init, hyperparameters, metrics with the trainer's own step."""

import argparse
import io
import os

import tracehouse.wandb as wandb

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


class Logger:
    def __init__(self, **kwargs):
        self._init = kwargs
        self._experiment = None

    @property
    def experiment(self):
        if self._experiment is None:
            os.environ["WANDB_MODE"] = "dryrun"
            self._experiment = wandb.init(**self._init)
            if isinstance(self._experiment, wandb.Run):
                self._experiment.define_metric("trainer/global_step")
                self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return self._experiment

    def log_hyperparams(self, params):
        self.experiment.config.update(params, allow_val_change=True)

    def log_metrics(self, metrics, step=None):
        self.experiment.log({**metrics, "trainer/global_step": step})

    def log_image(self, key, images, step=None, **kwargs):
        single = [{k: kwargs[k][i] for k in kwargs} for i in range(len(images))]
        self.log_metrics({key: [wandb.Image(image, **one) for image, one in zip(images, single)]}, step)


logger = Logger(name="net", project="mnist", dir=".", id=None, resume="allow", anonymous=None, settings=wandb.Settings())
logger.log_hyperparams(argparse.Namespace(lr=0.02, layers=[8, 8]))
for step in range(3):
    logger.log_metrics({"train/loss": 1 / (step + 1), "epoch": 0}, step)
logger.log_metrics({"val/loss": 0.3, "epoch": 0}, 2)
logger.log_image("samples", [PNG, io.BytesIO(PNG)], step=2, caption=["a", "b"])
print(logger.experiment.id, logger.experiment.step)
