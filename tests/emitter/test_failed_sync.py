"""S2, E2: what a failed fsync leaves in doubt is written again, or given up and told; never taken for safe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import jobs, lanes

_SCRIPT = """
import glob, logging, os, threading
import tracehouse as cm

failed = threading.Event()

class Unreadable(logging.Handler):
    def emit(self, record):
        for path in glob.glob(os.environ["TRACEHOUSE_SPOOL_DIR"] + "/*/*.jsonl"):
            os.unlink(path)
        failed.set()

logging.getLogger("tracehouse").addHandler(Unreadable(level=logging.WARNING))
run = cm.init(session_id="s")
for n in range(10): run.log_user(str(n))
assert failed.wait(60)
print(run.flush(), end=" ")
run.log_user("after")
print(run.flush())
"""


def test_e2_records_in_doubt_that_cannot_be_read_back_are_told_to_be_lost(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    inject = "inject=fdatasync:error=EIO:when=2"
    done = subprocess.run(
        [strace, "-f", "-o", "/dev/null", "-e", inject, sys.executable, "-c", _SCRIPT],
        env=jobs.environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False True\n", done.stderr
    session = jobs.only_session(tmp_path)
    [dropped] = jobs.of_type(session, "dropped")
    assert dropped["records"] >= 10
    assert set(dropped["reasons"]) == {"EIO"}
    assert jobs.texts(session) == ["after"]
