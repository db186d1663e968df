"""The pid file is read at any time: who reads it keeps no agent from beginning, and sees no half of a word."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.service.support import ROOT
from tracehoused.service.pidfile import AgentProcess, PidFile

_TOLD = {"since": "", "spools": []}
# becomes the agent, while somebody looks whether there is one as it tries to for the first time
_TAKEN = """
import fcntl, sys
from tracehoused.service.pidfile import PidFile

looking = open(sys.argv[1] + "/agent.pid", "w")
tries = 0

def hook(name, args):
    global tries
    if name == "fcntl.flock" and args[1] & fcntl.LOCK_EX:
        tries += 1
        fcntl.flock(looking, fcntl.LOCK_SH if tries == 1 else fcntl.LOCK_UN)

sys.addaudithook(hook)
told = PidFile(sys.argv[1]).take({"since": "", "spools": []})
print(tries, told)
"""


@contextmanager
def _read_all_the_time(state_dir: Path) -> Iterator[list[AgentProcess | None]]:
    """What a reader finds."""
    found: list[AgentProcess | None] = []
    ended = threading.Event()

    def read() -> None:
        file = PidFile(str(state_dir))
        while not ended.is_set():
            found.append(file.running())

    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield found
    finally:
        ended.set()
        reader.join()
        sys.setswitchinterval(often)


def test_who_looks_whether_an_agent_runs_keeps_none_from_beginning(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _TAKEN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "2 None\n", done.stderr


def test_an_agent_that_says_more_of_itself_is_known_meanwhile(tmp_path: Path) -> None:
    file = PidFile(str(tmp_path))
    assert file.take(_TOLD) is None
    with _read_all_the_time(tmp_path) as found:
        for number in range(2000):
            file.write({"since": "x" * (number % 7 * 30), "spools": []})
    file.release()
    assert found
    assert all(one is not None and one.pid for one in found)
