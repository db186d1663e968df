"""Traces as context managers: left well, left by an exception, finished inside, and without a session_id."""

import tracehouse as cm

with cm.Run(project="my-bot", session_id="run-002") as run:
    run.log_user("how do I install jq?")
    run.log_assistant("brew install jq")

try:
    with cm.Run(project="my-bot", session_id="run-003", scaffold="mine", agent_version="1.2") as run:
        run.log_user("break")
        raise ValueError("bad thing")
except ValueError as error:
    print("propagates:", error)

with cm.Run(session_id="finished-inside") as run:
    run.finish(outcome="neutral", metadata={"n": 1}, task_name="late", model="m2", scaffold="s2")
    run.finish(outcome="bad")
    run.log_user("still goes out")

unnamed = cm.Run(hostname="node-1", machine_id="machine-1")
print(type(unnamed.session_id).__name__, unnamed.session_id[:3], len(unnamed.session_id))
print(unnamed.project, unnamed.scaffold, unnamed.task_name, unnamed.model, unnamed.run_id, unnamed.rollout_step)
unnamed.log_user("x")
