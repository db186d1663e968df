"""Leases, as they lie in a spool: who holds one, one whose holder was stopped for too long, and who sends without one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.support import ready
from tests.support.home import Home

_BEYOND = 600.0  # seconds, in which any lease expires
_UNLEASED = "unleased"
# notes each request of a session that it sends while the lease there is not its own: it looks once more right before
_AGENT = """
import json, os, sys
from tracehoused.cli.main import tracehoused
from tracehoused.upload.context import Context

notes = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
begin = Context.__init__

class Watched:
    def __init__(self, client, session):
        self.client, self.session = client, session

    def __getattr__(self, name):
        return getattr(self.client, name)

    def send(self, *args):
        try:
            with open(f"{self.session}/upload/lease") as file: holder = json.load(file)["pid"]
        except (OSError, ValueError):
            holder = None
        if holder != os.getpid(): os.write(notes, json.dumps([os.getpid(), os.path.basename(self.session)]).encode() + b"\\n")
        return self.client.send(*args)

def begun(self, *args, **more):
    begin(self, *args, **more)
    self.client = Watched(self.client, self.session)

Context.__init__ = begun
tracehoused()
"""


def watched_agent(home: Home, **more: str) -> subprocess.Popen[str]:
    """As ``Home.start_agent``; see ``unleased``."""
    words = [str(home.directory / _UNLEASED), "start", "--foreground"]
    with open(home.directory / "agent.log", "ab") as log:
        return ready.begin(("-c", _AGENT), words, {**home.environ, **more}, stdout=subprocess.DEVNULL, stderr=log)


def unleased(home: Home) -> Counter[tuple[int, str]]:
    """How many requests watched agents sent of sessions whose lease they did not have, by process and session."""
    path = home.directory / _UNLEASED
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter((pid, session) for pid, session in map(json.loads, lines))


def holder_of(path: Path) -> tuple[int, str] | None:
    try:
        fields = json.loads(path.read_text())
        return fields["pid"], fields["token"]
    except (OSError, ValueError):
        return None


def grow_old(path: Path, seconds: float = _BEYOND) -> None:
    """As if its holder had been stopped for so long: no heartbeat came."""
    then = time.time() - seconds
    try:
        os.utime(path, (then, then))
    except FileNotFoundError:
        return
