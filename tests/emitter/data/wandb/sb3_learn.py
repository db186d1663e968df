"""stable-baselines3 with the callback that wandb has for it."""

import tracehouse.wandb as wandb
from stable_baselines3 import PPO
from tracehouse.wandb.integration.sb3 import WandbCallback

run = wandb.init(project="sb3", config={"policy_type": "MlpPolicy", "total_timesteps": 128}, sync_tensorboard=True)
model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, verbose=0, tensorboard_log=f"runs/{run.id}", device="cpu")
model.learn(128, callback=WandbCallback(gradient_save_freq=10, model_save_path=f"models/{run.id}", verbose=2))
run.finish()
