"""An agent trained with a callback that logs episodes, gradients' stand-ins, a video and the saved model."""

import os

import tracehouse.wandb as wandb


class Callback:
    def __init__(self, model_save_path, save_freq):
        self.model_save_path = model_save_path
        self.save_freq = save_freq
        os.makedirs(model_save_path, exist_ok=True)
        self.path = os.path.join(model_save_path, "model.zip")
        self.n_calls = 0

    def on_step(self, reward):
        self.n_calls += 1
        wandb.log({"rollout/ep_rew_mean": reward, "time/total_timesteps": self.n_calls}, step=self.n_calls)
        if self.n_calls % self.save_freq == 0:
            with open(self.path, "wb") as file:
                file.write(b"PK" + bytes([self.n_calls]) * 50)
            wandb.save(self.path, base_path=self.model_save_path)


with wandb.init(project="sb3", config={"policy_type": "MlpPolicy", "total_timesteps": 6}, sync_tensorboard=False, job_type="train") as run:
    callback = Callback(f"models/{run.id}", 3)
    for n in range(6):
        callback.on_step(float(n))
    run.log({"video": wandb.Video(b"\0\0\0\x14ftypmp42", fps=4, format="mp4")})
    run.log({"rewards": wandb.Histogram([float(n) for n in range(6)])})
    run.summary.update({"mean_reward": 2.5, "std_reward": 1.7})
