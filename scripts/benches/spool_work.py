"""Fills spools: ``python -m benches.spool_work``."""

from __future__ import annotations

import os
import time
from typing import Any

from benches.log_work import POOL, TEXTS, VALUES
from benches.procs import serve


def fill(spool: str, kind: str, count: int) -> str:
    """A closed session of ``count`` spans, metric records (of 4 points) or media (of 5 MB); its directory."""
    import tracehouse as cm

    if kind == "span":
        trace = cm.init(spool_dir=spool, project="bench")
        for n in range(count):
            trace.log_user(TEXTS[n % POOL])
        trace.finish(outcome="good")
        return trace.spool_path
    run = cm.init_run(spool_dir=spool, project="bench", system_metrics=False, capture_env=False)
    for n in range(count):
        if kind == "metrics":
            run.log(VALUES[n % POOL])
        else:
            run.log_image("picture", b"\x89PNG\r\n\x1a\n" + os.urandom(5_000_000), format="png", step=n)
    run.finish()
    return run.spool_path


class Rollouts:
    """This process's part of a run that another one began."""

    def __init__(self) -> None:
        self._run: Any = None

    def begin_run(self, spool: str) -> str:
        import tracehouse as cm

        self._run = cm.init_run(spool_dir=spool, project="bench", system_metrics=False, capture_env=False)
        return str(self._run.client_run_id)

    def attach(self, spool: str, run: str) -> None:
        import tracehouse as cm

        self._run = cm.attach_run(run, spool_dir=spool)

    def rollouts(self, count: int) -> int:
        for n in range(count):
            with self._run.rollout(step=n // 8) as trace:
                trace.log_user(TEXTS[n % POOL])
                trace.log_assistant(TEXTS[n % POOL])
                trace.finish(outcome="good", metadata={"reward": n / count})
        return count


def traces(spool: str, count: int) -> float:
    """Short traces, each a session of its own; seconds."""
    import tracehouse as cm

    cm.init(spool_dir=spool, project="bench")
    began = time.perf_counter()
    for n in range(count):
        with cm.Run(spool_dir=spool, project="bench") as trace:
            trace.log_user(TEXTS[n % POOL])
            trace.log_assistant(TEXTS[n % POOL])
    return time.perf_counter() - began


def idle(spool: str, count: int) -> int:
    """Sessions in which nothing will happen any more: a manifest and one short segment each."""
    import tracehouse as cm

    for n in range(count):
        with cm.Run(spool_dir=spool, project="bench", session_id=f"idle-{n}"):
            pass
    return count


_open: list[Any] = []


def live(spool: str, count: int) -> int:
    """Sessions that stay open while this process lives."""
    import tracehouse as cm

    for n in range(count):
        trace = cm.Run(spool_dir=spool, project="bench", session_id=f"live-{n}")
        trace.log_user(TEXTS[n % POOL])
        _open.append(trace)
    return count


def settled(spool: str, state: str, count: int) -> int:
    """Sessions that an agent has done with: a real one's files under other names, and the agent's note of each."""
    import shutil
    from pathlib import Path

    from tracehouse.spool import layout
    from tracehoused.service.ledger import Ledger, Note

    idle(spool, 1)
    (first,) = Path(spool).glob("trace-*")
    ledger = Ledger(state, spool)
    for n in range(count):
        path = Path(spool) / layout.session_dir("trace", f"settled-{n}", "http://127.0.0.1:9", None)
        shutil.copytree(first, path)
        (path / layout.UPLOAD).mkdir()
        ledger.put(path.name, Note(path.stat().st_mtime_ns, time.time(), 0.0, 1000, 8, 0, False))
    shutil.rmtree(first)
    ledger.save()
    return count


_rollouts = Rollouts()
HANDLERS: dict[str, Any] = {
    "fill": fill,
    "begin_run": _rollouts.begin_run,
    "attach": _rollouts.attach,
    "rollouts": _rollouts.rollouts,
    "traces": traces,
    "idle": idle,
    "live": live,
    "settled": settled,
}

if __name__ == "__main__":
    serve(HANDLERS)
