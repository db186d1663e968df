"""accelerate with its own wandb tracker."""

import sys

import numpy

import tracehouse.wandb as wandb

sys.modules["wandb"] = wandb
from accelerate import Accelerator
from accelerate.tracking import WandBTracker

accelerator = Accelerator(log_with=WandBTracker("proj", name="acc", entity="me"), cpu=True)
accelerator.init_trackers("proj", config={"lr": 1})
accelerator.log({"loss": 0.5}, step=1)
accelerator.log({"loss": 0.4}, step=2)
accelerator.trackers[0].log_images({"img": numpy.zeros((2, 4, 4, 3), "uint8")}, step=2)
accelerator.end_training()
