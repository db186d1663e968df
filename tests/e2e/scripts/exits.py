"""A run that its process leaves open, and a trace beside it: argv[1] says how the process ends."""

import os
import sys

import tracehouse as cm

how = sys.argv[1]
more = {"auto_finish": False} if how == "no-auto-finish" else {}
trace = cm.init(session_id=f"trace-{how}")
cm.log_user("open")
run = cm.init_run(name=how, client_run_id=f"exit-{how}", capture_env=False, system_metrics=False, **more)
run.log({"sent": 1})
run.log({"held": 1}, commit=False)
if how == "exit-0":
    sys.exit(0)
if how == "exit-3":
    sys.exit(3)
if how == "exception":
    raise ValueError("uncaught")
if how == "interrupt":
    raise KeyboardInterrupt
if how == "with-exit-0":
    with run:
        sys.exit(0)
if how == "trace-with-exit-0":
    with trace:
        sys.exit(0)
if how == "flushed-os-exit":
    run.flush()
    run.finish(status="finished")
    os._exit(5)
if how == "forked":
    child = os.fork()
    if not child:
        sys.exit(0)
    os.waitpid(child, 0)
    run.finish(status="failed")
