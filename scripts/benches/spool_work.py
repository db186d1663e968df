"""Fills spools: ``python -m benches.spool_work``."""

from __future__ import annotations

import os
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


HANDLERS: dict[str, Any] = {"fill": fill}

if __name__ == "__main__":
    serve(HANDLERS)
