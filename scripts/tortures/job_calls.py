"""The system calls of a job that logs a bit of everything, one by one: where it can be killed, or a call of it made to fail."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.home import Home
from tests.support.strace import counting, numbered
from tortures import places
from tortures.trial import Trial, Unavailable

# what a job does to its spool; what the ledger and the logger write is writev's, and so never meant
CALLS = ("openat", "mkdir", "write", "link", "rename", "unlink", "fsync", "fdatasync", "flock", "utimensat")
_JOB = """
import logging
class Told(logging.Handler):
    fd = os.open(sys.argv[1] + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    def emit(self, record): os.writev(self.fd, [self.format(record).encode() + b"\\n"])
logging.getLogger("tracehouse").addHandler(Told())
# all that is imported late is imported before the first call that may fail
os.environ["TRACEHOUSE_SPOOL_DIR"] = sys.argv[3]
warm = Work(Ledger(os.devnull), "warm", "a", 0)
for kind in ("point", "span", "rollout", "media", "artifact", "flush"): getattr(warm, kind)(0)
warm.finish()
os.environ["TRACEHOUSE_SPOOL_DIR"] = sys.argv[4]
work = Work(book, sys.argv[2], "a", 7)
work.some(int(sys.argv[5]))
work.finish()
"""
SCRIPT = places.WORK + _JOB
SIZE = 200  # things logged: some 400 calls


def words(trial: Trial, home: Home, name: str, size: int) -> tuple[str, ...]:
    """The arguments of the job's script."""
    return str(ledger(trial, name)), name, str(trial.home / "warm" / name), str(home.spool), str(size)


def ledger(trial: Trial, name: str) -> Path:
    return trial.home / f"{name}ledger"


def told(trial: Trial, name: str) -> str:
    """What the library said on its logger."""
    return (trial.home / f"{name}ledger.log").read_text()


def points(trial: Trial, home: Home, size: int) -> list[tuple[str, int]]:
    """(call, its number from 1 in the whole process) of every call that the job makes once it has begun with its spool."""
    if shutil.which("strace") is None:
        raise Unavailable("needs strace")
    (trial.home / "warm").mkdir(exist_ok=True)  # or this job alone would make it, and count otherwise than all others
    log = trial.home / "calls"
    process = home.start_job(SCRIPT, *words(trial, home, "counted-", size), prefix=counting(log, *CALLS))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return numbered(log, str(home.spool))
