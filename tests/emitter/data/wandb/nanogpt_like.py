"""A train loop in the manner of small GPT trainers: config from globals, evaluation now and then, one log call with iter."""

import math
import time

import tracehouse.wandb as wandb

wandb_log = True
wandb_project = "owt"
wandb_run_name = "gpt2-" + str(int(time.time()))
eval_interval = 5
max_iters = 20
learning_rate = 6e-4
config_keys = [k for k, v in globals().items() if not k.startswith("_") and isinstance(v, (int, float, bool, str))]
config = {k: globals()[k] for k in config_keys}


def get_lr(it):
    return learning_rate * 0.5 * (1.0 + math.cos(math.pi * it / max_iters))


if wandb_log:
    wandb.init(project=wandb_project, name=wandb_run_name, config=config)

best_val_loss = 1e9
running_mfu = -1.0
for iter_num in range(max_iters + 1):
    lr = get_lr(iter_num)
    loss = 4.0 / (1 + iter_num)
    if iter_num % eval_interval == 0:
        losses = {"train": loss, "val": loss * 1.1}
        if wandb_log:
            wandb.log(
                {
                    "iter": iter_num,
                    "train/loss": losses["train"],
                    "val/loss": losses["val"],
                    "lr": lr,
                    "mfu": running_mfu * 100,
                }
            )
        best_val_loss = min(best_val_loss, losses["val"])
