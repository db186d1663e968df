"""What the agent is about, as one JSON object: written to the state directory for ``tracehoused status``, and told as metrics.

Schema (``format`` 1), all times UTC ISO 8601, ages in seconds::

    {"format": 1, "version", "pid", "host", "since", "at", "log_file", "problem",
     "spools": [{"path", "sessions", "settled", "bytes", "files", "polled", "problem"}],
     "sessions": {"total", "settled", "live", "stalled", "pending", "waiting", "stopped"},
     "oldest_unacknowledged": age of the longest wait, or null,
     "records_pending", "dead_letters", "dropped", "records_sent", "bytes_sent", "requests": {"<outcome>": n},
     "watches", "troubles": [{"session", "state", "trouble"}]}

``problem``: why there are no file events, else ""; of a spool: what is wrong with it. ``sessions``: ``total`` is ``settled`` (nothing is
left to do) and those under way: ``live`` (their jobs run, all is sent so far; ``stalled`` of these), ``pending`` (something is left to
send, and it is tried), ``waiting`` (nobody has a key for it, or it cannot be read), ``stopped`` (deleted at the destination).
``records_pending``: neither acknowledged nor given up; ``dropped``: records that jobs could not write. ``requests`` and ``*_sent`` count
since the agent started; outcomes are those of ``tracehoused.http.retry.Verdict``. ``troubles`` holds twenty at most.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tracehouse.spool import durable
from tracehoused.service.lookout import Lookout
from tracehoused.service.spools import Spool
from tracehoused.service.tracked import Tracked

__all__ = ["FORMAT", "NAME", "Counts", "read", "take", "write"]

FORMAT = 1
NAME = "status.json"
_TROUBLES = 20


class Counts:
    """What is counted since the agent started, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.records = self.bytes = self.passes = 0
        self.requests: Counter[str] = Counter()

    def sent(self, records: int, size: int) -> None:
        with self._lock:
            self.records += records
            self.bytes += size

    def answered(self, verdict: str) -> None:
        with self._lock:
            self.requests[verdict] += 1


def take(lookout: Lookout, counts: Counts, now: float) -> dict[str, Any]:
    """The part of a snapshot that changes; ``now`` is monotonic. From any thread: the agent's own goes on meanwhile."""
    sessions = list(lookout.sessions.values())
    states = Counter(_state(session.state, session.pending_since) for session in sessions)
    waits = [now - s.pending_since for s in sessions if s.pending_since is not None and s.state != "stopped"]
    notes = [note for spool in list(lookout.spools.values()) for _, note in spool.ledger.items()]
    spools = [_spool(spool, sessions, lookout) for spool in list(lookout.spools.values())]
    return {
        "format": FORMAT,
        "problem": lookout.watcher.problem,
        "spools": spools,
        "sessions": {
            "total": len(sessions) + len(notes),
            "settled": len(notes),
            "live": states["live"],
            "stalled": sum(session.stalled for session in sessions),
            "pending": states["pending"],
            "waiting": states["waiting"],
            "stopped": states["stopped"],
        },
        "oldest_unacknowledged": round(max(waits), 3) if waits else None,
        "records_pending": sum(s.left for s in sessions if s.pending_since is not None and s.state != "stopped"),
        "dead_letters": sum(session.dead for session in sessions) + sum(note.dead for note in notes),
        "dropped": sum(session.dropped for session in sessions) + sum(note.dropped for note in notes),
        "records_sent": counts.records,
        "bytes_sent": counts.bytes,
        "requests": dict(counts.requests),
        "watches": lookout.watcher.watches,
        "troubles": [
            {"session": session.path, "state": session.state, "trouble": session.trouble}
            for session in sessions
            if session.trouble
        ][:_TROUBLES],
    }


def _state(state: str, pending_since: float | None) -> str:
    if state in ("waiting", "stopped"):
        return state
    return "live" if state == "live" and pending_since is None else "pending"


def _spool(spool: Spool, sessions: Iterable[Tracked], lookout: Lookout) -> dict[str, Any]:
    path = spool.path
    here = [session for session in sessions if os.path.dirname(session.path) == path]
    notes = [note for _, note in spool.ledger.items()]
    return {
        "path": path,
        "sessions": len(here) + len(notes),
        "settled": len(notes),
        "bytes": sum(session.size for session in here) + sum(note.size for note in notes),
        "files": sum(note.files for note in notes) + 4 * len(here),
        "polled": path in lookout.watcher.polled,
        "problem": spool.problem,
    }


def write(state_dir: str, snapshot: dict[str, Any]) -> None:
    """Publish it for others to read. OSError when the disk does not let us."""
    durable.private_dir(state_dir)
    durable.replace(os.path.join(state_dir, NAME), json.dumps(snapshot).encode(), str(os.getpid()))


def read(state_dir: str) -> dict[str, Any] | None:
    """The last one written, by an agent that may have ended since; None when there is none."""
    try:
        with open(os.path.join(state_dir, NAME), "rb") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None
