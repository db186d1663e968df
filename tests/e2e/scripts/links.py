"""Links to Hugging Face, and artifacts."""

import tracehouse as cm

run = cm.init_run(name="links", client_run_id="links", hf_dataset="first/one", capture_env=False, system_metrics=False)
run.link_dataset("a/b", split="train")
run.link_dataset("a/c")
run.link_model("m/one", revision="r1")
run.link_model("m/two")
print(run.hf_dataset, run.hf_dataset_split, run.hf_model, run.hf_model_revision)
run.add_artifact("json", data={"a": [1, None, {"b": "☃"}]})
run.add_artifact("text", data="some text\n", kind="text")
run.add_artifact("params", data=[1, 2], kind="params")
run.add_artifact("json", data={"again": True})
try:
    run.add_artifact("x", data=1, kind="bogus")
except cm.ClaudeMonitorError as error:
    print(error)
run.finish()
