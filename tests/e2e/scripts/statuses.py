"""Every status, twice; and what a second init_run makes of the first."""

import tracehouse as cm

quiet = {"capture_env": False, "system_metrics": False}
for status in ("running", "finished", "failed", "crashed", "killed"):
    run = cm.TrainingRun(name=status, client_run_id=status, **quiet)
    run.finish(status=status)
    run.finish(status="failed")

run = cm.init_run(name="refused", client_run_id="refused", **quiet)
try:
    cm.run_finish(status="bogus")
except cm.ClaudeMonitorError as error:
    print(error)
print(cm.current_run() is run)
run.log({"open": 1})
cm.run_finish(status="failed")

cm.init_run(name="first", client_run_id="first", **quiet)
cm.run_log({"x": 1}, commit=False)
cm.init_run(name="second", client_run_id="second", **quiet)
cm.run_log({"x": 2})
cm.run_finish()
try:
    cm.current_run()
except cm.ClaudeMonitorError as error:
    print(error)
