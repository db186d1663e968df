"""Row 6 for the agent: what it uploaded, noted and deleted, as a power failure after any of its calls leaves it.

Every batch that was sent is known there, under its bounds, or what is sent next would be cut anew and have another key; none is settled
that was not answered; and whatever is gone from the spool is known to be settled.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tortures import places
from tortures.calls import Call, traced
from tortures.lost_writes import Disk
from tortures.trial import Trial
from tracehouse.spool import layout
from tracehouse.spool.manifest import Manifest
from tracehoused.config import resolve
from tracehoused.identities.credentials import NoCredential
from tracehoused.upload.engine import Destination, Engine
from tracehoused.upload.reader import read_manifest, session_dirs
from tracehoused.upload.state import State

__all__ = ["AgentHistory"]

_JOB = """
work = Work(book, sys.argv[2], "a", sys.argv[2])
for n in range(17): work.point(n)
for n in range(6): work.span(n)
work.rollout(20)
work.media(30)
work.artifact(31)
work.finish()
"""
_AGENT = "from tracehoused.cli.main import tracehoused; tracehoused()"
# what was acknowledged is deleted in a later pass
_ENVIRON = {**places.SMALL, "TRACEHOUSE_RETENTION_GRACE": "0"}
_MOST_PASSES = 5
_BATCH = re.compile(
    rb"POST /v1/(?:runs/[^/ ]+/)?(\w+).*\r\nX-Tracehouse-Range: ([^/]+)/(\w+):(\d+)-(\d+)\r\n", re.DOTALL
)
_ANSWER = b"HTTP/1.1 200 "


class _Sent(NamedTuple):
    uid: str
    lane: str
    epoch: str
    first: int
    last: int


class AgentHistory:
    """The calls of an agent whose package lies in ``source``, as it uploads what a job logged to a house and deletes it."""

    def __init__(self, trial: Trial, house: House, name: str, source: Path) -> None:
        self._house, self.name = house, name
        self._home = home = places.place(trial.home / name, house)
        ledger = trial.home / f"{name}.ledger"
        home.job(places.WORK + _JOB, str(ledger), f"{name}.")
        self._account = oracle.Account().add(ledger)
        self._before = shutil.copytree(home.directory, trial.home / f"{name}.before")
        self._segments = {manifest.uid: set(_segments(session)) for session, manifest in _sessions(home)}
        self._root = os.path.realpath(home.directory)
        self.calls: list[Call] = []
        environ = {**home.environ, **_ENVIRON, "PYTHONPATH": str(source)}
        for _ in range(_MOST_PASSES):
            if not any(map(_segments, session_dirs(str(home.spool)))):
                break
            calls = traced([sys.executable, "-c", _AGENT, "run-once"], environ, trial.home / f"{name}.calls", source)
            self.calls += [call for call in calls if call.paths and self._is_meant(call)]
        self._sent, self._answered = _batches(self.calls)
        assert len(self._sent) > 5, self._sent
        assert not any(map(_segments, session_dirs(str(home.spool)))), "not all of it was deleted"

    def _is_meant(self, call: Call) -> bool:
        if call.name in ("sendto", "recvfrom"):
            return _BATCH.match(call.data) is not None or call.data.startswith(_ANSWER)
        return call.paths[0] == self._root or call.paths[0].startswith(self._root + "/")

    def leave(self, end: int, target: Path, variant: str, chance: random.Random) -> None:
        """Write what a failure after so many calls leaves."""
        on_files = [call for call in self.calls[:end] if call.name not in ("sendto", "recvfrom")]
        Disk(self._root, self._before).apply_all(on_files).leave(target, variant, chance)

    def judge(self, end: int, left: Path) -> oracle.Verdict:
        """*Lost* is what would never be sent, or is not known to have been; *duplicated* what would be sent again as another batch."""
        lost: list[oracle.Item] = []
        again: list[oracle.Item] = []
        for session, manifest in _sessions(home := Home(left, self._house.url).with_key(self._house.key)):
            state = _state(home, session)
            gone = self._segments[manifest.uid].difference(_segments(session), _segments(_trash_of(session)))
            for sent, at in self._sent.items():
                if sent.uid != manifest.uid:
                    continue
                is_settled = all(state.is_settled(sent.epoch, sent.lane, seq) for seq in (sent.first, sent.last))
                if (is_settled and self._answered[sent] > end) or (gone and not is_settled):
                    lost.append(sent)
                if at <= end and not is_settled and sent not in _in_flight(manifest.uid, state):
                    again.append(sent)
        return oracle.Verdict(len(self._sent), lost, again, [])

    def sync_left(self, trial: Trial, number: int, where: str, left: Path) -> None:
        """The house has all of it by then: nothing is there twice after another sync, which says that all is well."""
        home = Home(left, self._house.url).with_key(self._house.key)
        places.check_sync(trial, number, places.sync_until_done(home, "--close-dead"))
        trial.add(number, places.verdict(self._house, f"{self.name}.", self._account), f"{where} synced:")
        places.check_verify(trial, number, home)


def _batches(calls: list[Call]) -> tuple[dict[_Sent, int], dict[_Sent, int]]:
    """How many calls had been made once each batch was sent, and once it was answered."""
    sent: dict[_Sent, int] = {}
    answered: dict[_Sent, int] = {}
    under_way: dict[str, _Sent] = {}
    for at, call in enumerate(calls, 1):
        found = _BATCH.match(call.data) if call.name == "sendto" else None
        if found is not None:
            lane, uid, epoch, first, last = (part.decode() for part in found.groups())
            one = _Sent(uid, lane, epoch, int(first), int(last))
            under_way[call.paths[0]] = one
            sent.setdefault(one, at)
        elif call.name == "recvfrom" and call.paths[0] in under_way:
            answered.setdefault(under_way.pop(call.paths[0]), at)
    return sent, answered


def _sessions(home: Home) -> Iterator[tuple[str, Manifest]]:
    for session in session_dirs(str(home.spool)):
        yield session, read_manifest(session)


def _state(home: Home, session: str) -> State:
    engine = Engine(resolve(environ=home.environ), home.environ)
    manifest = read_manifest(session)
    credential = engine.known_credential(manifest)
    assert not isinstance(credential, NoCredential)
    return engine.checkpoint(session, manifest, Destination.of(credential)).state


def _in_flight(uid: str, state: State) -> set[_Sent]:
    return {_Sent(uid, one.lane, one.epoch, one.first, one.last) for one in state.in_flight}


def _segments(directory: str) -> list[str]:
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return [name for name in names if layout.parse_segment_name(name)]


def _trash_of(session: str) -> str:
    return os.path.join(os.path.dirname(session), layout.TRASH, os.path.basename(session))
