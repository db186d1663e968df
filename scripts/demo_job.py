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
ROLLOUTS = 6
PROMPTS = 2


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


def tone(step: int, rate: int = 8000) -> bytes:
    """A WAV of a quarter of a second, higher at later steps."""
    samples = (int(9000 * math.sin(2 * math.pi * (220 + 6 * step) * at / rate)) for at in range(rate // 4))
    data = b"".join(struct.pack("<h", one) for one in samples)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + form + b"data" + struct.pack("<I", len(data)) + data


def train(name: str, ledger: Ledger) -> None:
    chance = random.Random(name)
    run = cm.init_run(
        project="demo",
        name=f"ppo-{name}",
        client_run_id=f"demo-{name}",
        config={"lr": 3e-4, "clip": 0.2, "model": {"name": "tiny-7b", "layers": 12}, "seed": name},
        system_metrics=False,
    )
    ledger.add("run", f"demo-{name}")
    for step in range(STEPS):
        rewards = [_rollout(run, step, sample, chance, ledger) for sample in range(ROLLOUTS)]
        values = _values(step, rewards, chance)
        run.log(values, step=step)
        for key in values:
            ledger.add("point", f"demo-{name}", key, step)
        if step % 10 == 0:
            run.log_image("policy/field", picture(step), caption=f"step {step}", step=step)
            ledger.add("media", f"demo-{name}", "policy/field", step)
            run.log({"policy/sound": cm.Audio(tone(step), caption=f"{220 + 6 * step} Hz")}, step=step)
            ledger.add("media", f"demo-{name}", "policy/sound", step)
    run.finish()


def _values(step: int, rewards: list[float], chance: random.Random) -> dict[str, float]:
    mean = sum(rewards) / len(rewards)
    values = {
        "reward/mean": mean,
        "reward/std": (sum((one - mean) ** 2 for one in rewards) / len(rewards)) ** 0.5,
        "train/loss": 2.0 / (1 + step / 8) + chance.gauss(0, 0.04),
        "train/grad_norm": math.nan if step == 23 else abs(chance.gauss(1, 0.4)),
        "train/lr": 3e-4 * (1 - step / STEPS),
        "kl": abs(chance.gauss(0, 0.02)),
    }
    if step % 5 == 0:
        values["eval/accuracy"] = min(1.0, 0.3 + step / STEPS * 0.6 + chance.gauss(0, 0.02))
    return values


def _rollout(run: cm.TrainingRun, step: int, sample: int, chance: random.Random, ledger: Ledger) -> float:
    reward = min(1.0, max(0.0, chance.gauss(step / STEPS, 0.15)))
    outcome = "good" if reward > 0.5 else "bad"
    prompt = sample // (ROLLOUTS // PROMPTS)
    a, b = step, 3 * prompt + 2
    with run.rollout(step=step, group=f"{a} + {b}", sample=sample % (ROLLOUTS // PROMPTS)) as trace:
        ledger.add("trace", trace.session_id)
        spans = [
            trace.log_user(f"What is {a} + {b}? Think, then use the calculator."),
            trace.log_thinking(f"{a} and {b} have to be added; the calculator can do that."),
            trace.log_tool_use("calculator", {"expression": f"{a} + {b}"}),
            trace.log_tool_result(str(a + b), tool="calculator"),
            trace.log_assistant(f"**{a + b if outcome == 'good' else a + b + 1}**"),
        ]
        for span in spans:
            ledger.add("span", trace.session_id, span.id)
        trace.finish(outcome=outcome, metadata={"reward": reward})
        ledger.add("outcome", trace.session_id, outcome)
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
