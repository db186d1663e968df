"""What the published SDK is known to do badly; argv[1] says which, each in a process of its own."""

import datetime
import sys

import tracehouse as cm

which = sys.argv[1]
quiet = {"capture_env": False, "system_metrics": False}
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


def attempt(call):
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        print("raised", type(error).__name__)


def run_of(name):
    return cm.init_run(name=name, client_run_id=name, **quiet)


if which == "nan":
    run = run_of("nan")
    attempt(lambda: run.log({"before": 1, "bad": float("nan"), "after": 2}))
    attempt(lambda: run.log({"next": 3}))
if which == "unserialisable":
    run = run_of("unserialisable")
    run.log({"held": 1}, commit=False)
    attempt(lambda: run.log({"good": 1, "when": datetime.date(2001, 2, 3)}))
    attempt(lambda: run.log({"next": 3}))
if which == "numpy":
    import numpy as np

    run = run_of("numpy")
    attempt(lambda: run.log({"loss": np.float32(0.5), "n": np.int64(3)}))
if which == "bad-image":
    run = run_of("bad-image")
    attempt(lambda: run.log({"loss": 0.5, "picture": cm.Image("missing.png"), "after": 1}))
    attempt(lambda: run.log_image("empty key's neighbour", b""))
if which == "same-step":
    run = run_of("same-step")
    for text in ("first", "second"):
        with run.rollout(step=1) as t:
            t.log_user(text)
if which == "same-name":
    for number in range(2):
        run = cm.init_run(name="twin", client_run_id=f"twin-{number}", **quiet)
        with run.rollout(step=1) as t:
            t.log_user(f"of run {number}")
        run.finish()
if which == "unreferenced":
    cm.TrainingRun(name="unreferenced", client_run_id="unreferenced", **quiet).log({"x": 1}, commit=False)
if which == "hostname":
    attempt(lambda: cm.Run(session_id="hostname", hostname="gerät-☃").log_user("x"))
if which == "failed-init":
    cm.init(session_id="first")
    attempt(lambda: cm.init(api_key="sk-1"))
    run = run_of("failed-init")
    attempt(lambda: cm.init_run(api_key="sk-1"))
    run.log({"x": 1})
    run.finish()
if which == "media-format":
    run = run_of("media-format")
    run.log_image("jpg", b"\xff\xd8\xff\xe0" + b"x" * 20, format="jpg")
    run.log_image("bmp", b"BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00" + b"\x28" + b"\x00" * 40)
    run.log_image("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    run.finish()
if which == "too-large":
    run = run_of("too-large")
    attempt(lambda: run.log_image("huge", PNG + b"x" * (26 << 20)))
    run.finish()
if which == "list-of-images":
    run = run_of("list-of-images")
    attempt(lambda: run.log({"loss": 1, "grid": [cm.Image(PNG), cm.Image(PNG + b"x")]}))
    run.finish()
if which == "disable-autofinish-0":
    import os

    os.environ["TRACEHOUSE_DISABLE_AUTOFINISH"] = "0"
    run_of("disable-autofinish-0").log({"x": 1})
if which == "surrogate":
    cm.init(session_id="surrogate")
    attempt(lambda: cm.log_user("half \ud800 a pair"))
    attempt(lambda: cm.log_user("next"))
    attempt(lambda: cm.log(kind="user_msg", name="n", attributes={"nan": float("nan"), "set": {1}}))
if which == "span-status":
    cm.init(session_id="span-status")
    attempt(lambda: cm.log_user("x", status="great"))
if which == "server-down":
    os_environ = __import__("os").environ
    os_environ["TRACEHOUSE_API_BASE"] = "http://127.0.0.1:9"
    cm.init(session_id="server-down")
    cm.log_user("kept")
    cm.finish(outcome="good")
if which == "system-samples":
    import time

    run = cm.init_run(name="system", client_run_id="system", capture_env=False, system_metrics_interval=2.0)
    deadline = time.monotonic() + 5
    while run.rollout(auto_create=False).rollout_step == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.log({"mine": 1})
    run.finish()
