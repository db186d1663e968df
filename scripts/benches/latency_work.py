"""A job with many live traces whose spans say when they were logged: ``python -m benches.latency_work SPOOL SESSIONS``."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

from benches.procs import serve


def work(spool: str, sessions: int) -> dict[str, Any]:
    import tracehouse as cm

    traces = [cm.Run(spool_dir=spool, project="bench", session_id=f"live-{n}") for n in range(sessions)]
    chance = random.Random(1)

    def warm() -> int:
        for trace in traces:
            trace.log_user("warm")
        return len(traces)

    def log(seconds: float, rate: float) -> int:
        count = int(seconds * rate)
        due = time.monotonic()
        for _ in range(count):
            # at random times, or they would keep step with the agent's
            due += chance.expovariate(rate)
            time.sleep(max(0.0, due - time.monotonic()))
            chance.choice(traces).log_user(f"t={time.monotonic_ns()}")
        return count

    return {"warm": warm, "log": log}


if __name__ == "__main__":
    serve(work(sys.argv[1], int(sys.argv[2])))
