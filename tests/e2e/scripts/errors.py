"""What users match on: classes and texts of the errors."""

import os

import tracehouse as cm


def told(what, call):
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        names = [c.__name__ for c in (cm.ClaudeMonitorError, TypeError) if isinstance(error, c)]
        print(f"{what}: {'/'.join(names)}: {error}")
    else:
        print(f"{what}: nothing raised")


quiet = {"capture_env": False, "system_metrics": False}
for name in ("log_user", "log_assistant", "log_thinking", "log_tool_use", "log_tool_result", "log_attachment"):
    told(name, lambda name=name: getattr(cm, name)("x"))
told("log", lambda: cm.log(kind="user_msg", name="n"))
told("current", cm.current)
told("run_log", lambda: cm.run_log({"x": 1}))
told("current_run", cm.current_run)
told("finish", cm.finish)
told("run_finish", cm.run_finish)
told("key", lambda: cm.Run(api_key="sk-123"))
told("run key", lambda: cm.TrainingRun(api_key="sk-123"))

run = cm.init(session_id="errors")
told("kind", lambda: cm.log(kind="x", name="n", text="t"))
told("outcome", lambda: cm.finish(outcome="meh"))
told("outcome leaves it open", lambda: cm.log_user("still open"))
for name, call in {
    "unknown argument": lambda: cm.Run(sesion_id="x"),
    "positional": lambda: cm.Run("x"),
    "positional finish": lambda: run.finish("good"),
    "log_user unknown": lambda: run.log_user("x", role="y"),
    "attributes that are none": lambda: run.log_attachment("x", attributes=[1, 2]),
    "input that is none": lambda: run.log_tool_use("Read", "str"),
}.items():
    try:
        call()
    except TypeError:
        print(f"{name}: TypeError")
    except cm.ClaudeMonitorError as error:
        print(f"{name}: {error}")
    except ValueError:
        print(f"{name}: ValueError")

training = cm.TrainingRun(name="errors", client_run_id="errors", **quiet)
told("artifact", lambda: training.add_artifact("x", data=1, kind="bogus"))
told("status", lambda: training.finish(status="bogus"))
told("video", lambda: training.log_video("k", object()))
told("image", lambda: training.log_image("k", 12))
unmade = cm.TrainingRun(name="unmade", client_run_id="unmade", auto_create=False, **quiet)
told("inactive log", lambda: unmade.log({"x": 1}))
told("inactive image", lambda: unmade.log_image("k", b"x"))
told("inactive finish", unmade.finish)
told("inactive rollout", lambda: unmade.rollout(step=1))
told("uncreated trace", lambda: cm.Run(session_id="uncreated", auto_create=False).finish(outcome="good"))
error = cm.ApiError(404, "m")
print(error.status, error.message, error, error.args, isinstance(error, cm.ClaudeMonitorError))
os.environ["TRACEHOUSE_API_KEY"] = "not a key"
told("key by variable", lambda: cm.Run(session_id="x"))
training.finish()
