"""Rollouts of a run by step, one of them failing."""

import tracehouse as cm

run = cm.init_run(project="rl", name="ppo-v1", client_run_id="rollouts", capture_env=False, system_metrics=False)
for step in range(3):
    with run.rollout(step=step, session_id=f"roll-{step}") as t:
        t.log_user(f"state {step}")
        t.log_assistant("action")
        t.log_tool_result(f"reward={step}")
    run.log({"reward": step, "kl": 0.5}, step=step)

named = run.rollout(name="best", session_id="named", model="m", scaffold="s")
print(type(named) is cm.Run, named.rollout_step, named.task_name, named.project, named.session_id)
named.log_user("by the counter")
named.finish(outcome="good", metadata={"reward": 1.0})
run.log({"reward": 9})
try:
    with run.rollout(step=50, session_id="failing") as t:
        t.log_user("x")
        raise RuntimeError("tool broke")
except RuntimeError:
    pass
run.log({"reward": 10})
late = run.rollout(session_id="after finish")
run.finish()
late.log_user("still goes out")
