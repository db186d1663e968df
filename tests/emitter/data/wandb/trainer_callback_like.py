"""A trainer whose reporting callback looks for `wandb` itself, as Hugging Face's does."""

import numbers
import os
import sys
import tempfile
from pathlib import Path

import tracehouse.wandb

sys.modules["wandb"] = tracehouse.wandb


class Callback:
    def __init__(self):
        import wandb

        self._wandb = wandb
        self._initialized = False

    def setup(self, args, model):
        from wandb.sdk.lib.config_util import ConfigError

        self._initialized = True
        if self._wandb.run is None:
            self._wandb.init(project=os.getenv("WANDB_PROJECT", "huggingface"), name=args["run_name"])
        self._wandb.config.update({**model["config"], **args}, allow_val_change=True)
        if getattr(self._wandb, "define_metric", None):
            self._wandb.define_metric("train/global_step")
            self._wandb.define_metric("*", step_metric="train/global_step", step_sync=True)
        self._wandb.run._label(code="transformers_trainer")
        try:
            self._wandb.config["model/num_parameters"] = 124
        except ConfigError:
            raise SystemExit("config was refused") from None

    def on_log(self, args, model, logs, step):
        if not self._initialized:
            self.setup(args, model)
        single = ["train_runtime", "train_loss"]
        for key, value in logs.items():
            if key in single:
                self._wandb.run.summary[key] = value
        rest = {("eval/" + k[5:] if k.startswith("eval_") else "train/" + k): v for k, v in logs.items() if k not in single}
        self._wandb.log({**rest, "train/global_step": step})

    def on_train_end(self):
        metadata = {
            key: value
            for key, value in dict(self._wandb.summary).items()
            if isinstance(value, numbers.Number) and not key.startswith("_")
        }
        artifact = self._wandb.Artifact(name=f"model-{self._wandb.run.id}", type="model", metadata=metadata)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text('{"layers": 2}')
            Path(folder, "model.safetensors").write_bytes(bytes(range(200)))
            for path in sorted(Path(folder).glob("*")):
                with artifact.new_file(path.name, mode="wb") as file:
                    file.write(path.read_bytes())
        self._wandb.run.log_artifact(artifact, aliases=["final_model"])


callback = Callback()
args = {"run_name": "bert", "learning_rate": 5e-5, "output_dir": "out"}
model = {"config": {"layers": 2}}
for step in (10, 20):
    callback.on_log(args, model, {"loss": 1 / step, "learning_rate": 5e-5, "epoch": step / 20}, step)
    callback.on_log(args, model, {"eval_loss": 2 / step}, step)
callback.on_log(args, model, {"train_runtime": 1.5, "train_loss": 0.07}, 20)
callback.on_train_end()
