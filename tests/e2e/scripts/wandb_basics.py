"""A wandb script with its import changed."""

import tracehouse.wandb as wandb

run = wandb.init(project="p", name="n", id="wandb-1", config={"lr": 0.1, "nest": {"a": 1}}, tags=["t1"], notes="N")
print(wandb.run is run, run.name, run.project, type(run.config).__name__ != "dict")
wandb.config.update({"epochs": 3})
wandb.config["batch"] = 8
wandb.config.depth = 2
print(wandb.config.lr, wandb.config["batch"], wandb.config.depth, "epochs" in wandb.config, sorted(wandb.config.keys()))
# steps are given, since the published SDK's samples of the machine take some of the automatic ones
for step in range(3):
    wandb.log({"loss": 1 / (step + 1), "acc": step}, step=step)
run.log({"loss": 0.1}, step=10)
wandb.log({"hist": wandb.Histogram(np_histogram=([1, 2], [0.0, 1.0, 2.0]))}, step=11)
wandb.log({"table": wandb.Table(columns=["a", "b"], data=[[1, "x"]])}, step=12)
print(wandb.login(), wandb.watch(None), wandb.unwatch(None))
wandb.finish()
print(wandb.run)
run = wandb.init(project="p", name="failing", id="wandb-2")
wandb.finish(exit_code=1)
off = wandb.init(mode="disabled")
off.log({"x": 1})
off.finish()
