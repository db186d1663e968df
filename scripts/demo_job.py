"""An example job: a small RL loop with rollouts, metrics and images, and an agent that uses a tool.

Called as ``demo_job.py NAME LEDGER``. The ledger is the demo's own account of what was logged: a line for every call that returned.
"""

from __future__ import annotations

import json
import math
import os
import random
import struct
import sys
import zlib
from typing import Any

import tracehouse as cm

STEPS = 60
ROLLOUTS = 4


class Ledger:
    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, *what: Any) -> None:
        os.write(self._fd, json.dumps(what).encode() + b"\n")


def picture(step: int, size: int = 96) -> bytes:
    """A PNG of interfering waves, made from nothing."""
    rows = bytearray()
    for y in range(size):
        rows.append(0)
        for x in range(size):
            wave = math.sin(x / (6 + step / 10)) + math.cos(y / 9 + step / 5)
            rows += bytes((int(127 + 60 * wave), int(90 + 40 * math.sin(wave * 3)), 200 - (x + y) // 2))
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def train(name: str, ledger: Ledger) -> None:
    chance = random.Random(name)
    run = cm.init_run(
        project="demo",
        name=f"ppo-{name}",
        client_run_id=f"demo-{name}",
        config={"lr": 3e-4, "clip": 0.2},
        system_metrics=False,
    )
    ledger.add("run", f"demo-{name}")
    for step in range(STEPS):
        rewards = [_rollout(run, step, sample, chance, ledger) for sample in range(ROLLOUTS)]
        values = {
            "reward/mean": sum(rewards) / len(rewards),
            "loss": 2.0 / (1 + step / 8),
            "kl": abs(chance.gauss(0, 0.02)),
        }
        run.log(values, step=step)
        for key in values:
            ledger.add("point", f"demo-{name}", key, step)
        if step % 10 == 0:
            run.log_image("policy/field", picture(step), caption=f"step {step}", step=step)
            ledger.add("media", f"demo-{name}", "policy/field", step)
    run.finish()


def _rollout(run: cm.TrainingRun, step: int, sample: int, chance: random.Random, ledger: Ledger) -> float:
    reward = min(1.0, max(0.0, chance.gauss(step / STEPS, 0.15)))
    with run.rollout(step=step) as trace:
        ledger.add("trace", trace.session_id)
        for span in (
            trace.log_user(f"Step {step}: what is {step} + {sample}?"),
            trace.log_assistant(f"It is {step + sample}."),
        ):
            ledger.add("span", trace.session_id, span.id)
        trace.finish(outcome="good" if reward > 0.5 else "bad", metadata={"reward": reward})
        ledger.add("outcome", trace.session_id, "good" if reward > 0.5 else "bad")
    return reward


def chat(name: str, ledger: Ledger) -> None:
    trace = cm.init(
        project="demo",
        session_id=f"demo-chat-{name}",
        task_name="What lies in the current directory?",
        model="demo-model",
    )
    ledger.add("trace", trace.session_id)
    spans = [
        cm.log_user("Which files are here? **Short**, please."),
        cm.log_thinking("I should list the directory before I answer."),
        cm.log_tool_use("Bash", {"command": "ls"}),
        cm.log_tool_result("README.md\nsrc\ntests", tool="Bash"),
        cm.log_assistant(
            "There are three entries:\n\n1. `README.md`\n2. `src`\n3. `tests`\n\n```python\nprint('done')\n```"
        ),
    ]
    for span in spans:
        ledger.add("span", trace.session_id, span.id)
    cm.finish(outcome="good", metadata={"files": 3})
    ledger.add("outcome", trace.session_id, "good")


if __name__ == "__main__":
    book = Ledger(sys.argv[2])
    chat(sys.argv[1], book)
    train(sys.argv[1], book)
