"""Lightning's Trainer with its own WandbLogger."""

import sys

import torch

import tracehouse.wandb as wandb

sys.modules["wandb"] = wandb
import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import wandb as loggers

# it asks for an installed distribution of that name
loggers._WANDB_AVAILABLE = True


class Net(lightning.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, n):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, n):
        self.log("val/loss", self.layer(batch[0]).pow(2).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(32, 4)), batch_size=8)
logger = loggers.WandbLogger(project="mnist", name="net", log_model="all", save_dir=".")
net = Net()
logger.watch(net, log="all", log_freq=2)
trainer = lightning.Trainer(
    max_epochs=2,
    logger=logger,
    log_every_n_steps=1,
    accelerator="cpu",
    enable_progress_bar=False,
    enable_model_summary=False,
    callbacks=[ModelCheckpoint(monitor="val/loss")],
)
trainer.fit(net, batches, batches)
logger.log_text("samples", columns=["text"], data=[["x"]])
logger.log_image("images", [torch.rand(3, 8, 8)], caption=["c"])
