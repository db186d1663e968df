"""A run's config, steps, held points, values and times; resumed under its client_run_id."""

import tracehouse as cm

run = cm.init_run(
    project="rl",
    name="ppo-v1",
    client_run_id="training",
    config={"lr": 1e-5, "nested": {"a": [1, None, "x"]}, "flag": True},
    hf_dataset="d/s",
    hf_dataset_split="train",
    hf_model="m/m",
    hf_model_revision="rev",
    capture_env=False,
    system_metrics=False,
)
print(cm.current_run() is run, run.name, run.project, run.client_run_id, dict(run.config))
run.log({"loss": 0.5, "reward": 1})
run.log({"loss": 0.25}, step=10)
run.log({"loss": 0.125})
run.log({"loss": 2.0}, step=3)
run.log({"loss": 3.0}, step=-1)
run.log({"loss": 4.0}, step=20.9)
run.log({"loss": 5.0}, step=True)
run.log({})
run.log({}, step=500)
run.log({"held": 1}, commit=False)
run.log({"held": 2}, commit=False)
run.log({"held": 3}, step=100, commit=False)
run.log({"loss": 6.0})
run.log({"held": 4}, commit=False)
run.flush()
run.log({"dated": 1.5}, wall_time="2001-02-03T04:05:06.000007Z")
run.log({"bool": True, "list": [1, 2, [3]], "dict": {"a": {"b": 1}}, "big": 2**60, "tiny": 5e-324, "tuple": (1, 2)})
run.log({"deep/name with space ☃": 1, "k" * 300: 2})
cm.run_log({"by module": 1}, step=200)
cm.run_log({"by module": 2})
print(run.rollout(auto_create=False).rollout_step)
cm.run_finish(status="finished")
cm.run_finish()

unnamed = cm.TrainingRun(capture_env=False, system_metrics=False)
print(unnamed.name[:4], len(unnamed.name), unnamed.client_run_id[:3], len(unnamed.client_run_id), unnamed.project)
unnamed.log({"x": 1})
unnamed.finish()

with cm.TrainingRun(client_run_id="with", name="w", capture_env=False, system_metrics=False) as run:
    run.log({"held to the end": 1}, commit=False)
try:
    with cm.TrainingRun(client_run_id="with-error", name="w", capture_env=False, system_metrics=False) as run:
        run.log({"held to the end": 1}, commit=False)
        raise KeyError("gone")
except KeyError as error:
    print("propagates:", error)
