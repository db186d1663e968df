"""The environment that a run tells."""

import tracehouse as cm

run = cm.init_run(name="environment", client_run_id="environment", system_metrics=False)
run.log({"x": 1})
run.finish()
