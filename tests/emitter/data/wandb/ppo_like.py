"""Single-file PPO: everything goes through a SummaryWriter, which wandb.init(sync_tensorboard=True) follows."""

import argparse
import time

import numpy as np
from torch.utils.tensorboard import SummaryWriter

parser = argparse.ArgumentParser()
parser.add_argument("--exp-name", default="ppo")
parser.add_argument("--env-id", default="CartPole-v1")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--track", action="store_true")
parser.add_argument("--wandb-project-name", default="cleanRL")
parser.add_argument("--wandb-entity", default=None)
args = parser.parse_args(["--track"])
run_name = f"{args.env_id}__{args.exp_name}__{args.seed}__{int(time.time())}"
if args.track:
    import tracehouse.wandb as wandb

    wandb.init(
        project=args.wandb_project_name,
        entity=args.wandb_entity,
        sync_tensorboard=True,
        config=vars(args),
        name=run_name,
        monitor_gym=True,
        save_code=True,
    )
writer = SummaryWriter(f"runs/{run_name}")
writer.add_text(
    "hyperparameters",
    "|param|value|\n|-|-|\n{}".format("\n".join([f"|{key}|{value}|" for key, value in vars(args).items()])),
)
for update in range(1, 4):
    global_step = update * 512
    writer.add_scalar("charts/episodic_return", float(update * 10), global_step)
    writer.add_scalar("losses/value_loss", np.float32(1 / update), global_step)
    writer.add_histogram("weights", np.arange(10.0), global_step)
writer.add_image("frame", np.zeros((3, 4, 4), dtype=np.uint8), 1536)
writer.close()
