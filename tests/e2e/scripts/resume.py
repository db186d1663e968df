"""The same session_id, and the same client_run_id, again: also after the first was finished."""

import tracehouse as cm

cm.init(session_id="resumed", project="p", task_name="first")
cm.log_user("one")
cm.finish(outcome="bad", metadata={"a": 1, "b": 1})
cm.init(session_id="resumed", project="p", model="m")
cm.log_user("two")
cm.finish(outcome="good", metadata={"b": 2})

cm.init(session_id="left open")
cm.log_user("three")
cm.init(session_id="its successor")
cm.log_user("four")

made = cm.Run(session_id="made elsewhere", scaffold="mine", task_name="t")
beside = cm.Run(session_id="made elsewhere", auto_create=False)
print(made.trace_id is None or isinstance(made.trace_id, str), beside.trace_id)
beside.log_user("from beside")

for config in ({"lr": 1, "old": True}, {"lr": 2}):
    run = cm.TrainingRun(
        project="p", name="n", client_run_id="resumed-run", config=config, capture_env=False, system_metrics=False
    )
    run.log({"loss": 0.5}, step=config["lr"])
    run.finish()
