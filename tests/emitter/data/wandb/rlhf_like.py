"""Preference tuning: a table of completions each step, metrics by nested groups, several workers' rewards, an alert."""

import tracehouse.wandb as wandb

run = wandb.init(
    project="trl",
    name="grpo",
    group="grpo-8gpu",
    tags=["rlhf", "grpo"],
    config={"beta": 0.04, "num_generations": 2},
    settings=wandb.Settings(start_method="fork", _disable_stats=True, init_timeout=300),
)
wandb.define_metric("train/global_step")
wandb.define_metric("train/*", step_metric="train/global_step")
wandb.define_metric("train/reward", summary="max")
columns = ["step", "prompt", "completion", "reward"]
everything = []
for step in range(3):
    prompts = [f"{step}+{step}=" for _ in range(2)]
    completions = [str(2 * step), "dunno"]
    rewards = [1.0, 0.0]
    everything += [list(row) for row in zip([step] * 2, prompts, completions, rewards)]
    wandb.log({"train": {"reward": 0.5 + step / 10, "kl": 0.01 * step, "global_step": step}}, commit=False)
    wandb.log({"completions": wandb.Table(columns=columns, data=list(everything))})
    for sample, (prompt, completion, reward) in enumerate(zip(prompts, completions, rewards)):
        with run.rollout(step=step, group=prompt, sample=sample) as rollout:
            rollout.log_user(prompt)
            rollout.log_assistant(completion)
            rollout.finish(metadata={"reward": reward})
wandb.alert(title="Reward collapsed", text="see step 2", level=wandb.AlertLevel.WARN)
wandb.summary["best_reward"] = max(row[3] for row in everything)
wandb.finish()
