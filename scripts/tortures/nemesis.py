"""What strikes the soak: signals, copies of the spool, a disk that is full for a while, hostile sessions, and a house that dies."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tests.support.home import Home
from tests.support.house import House
from tests.support.servers import Received
from tortures import hostile_sessions, places
from tortures.disks import Disk
from tortures.hostile_sessions import SECRET
from tortures.lives import Life
from tortures.trial import Trial
from tracehouse.spool import layout

SPACE = 4 << 20  # KiB
_SLACK = 256  # KiB, soon used up
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
_COPIED = 20  # sessions, so that a copy's sync comes to its end
_HOSTILE_AT_ONCE = 8
# looked at again and again these would leave the agents no time
_TOO_LARGE = ("manifest of 1 GB", "segment of 100 MB of NULs", "JSON 10⁶ deep", "lists 10⁶ deep")


class Struck(Protocol):
    """What there is to strike; ``killed`` are the agents that may end."""

    trial: Trial
    home: Home
    house: House
    jobs: dict[int, Life]
    agents: dict[int, subprocess.Popen[str]]
    killed: set[int]
    cramped: bool


class Nemesis:
    """``disk``: the one that the spool is on, where it can be made full. ``other``: the url of a server that no key may reach."""

    def __init__(self, struck: Struck, chance: random.Random, disk: Disk | None, other: str) -> None:
        self._on = struck
        self._chance = chance
        self._disk = disk
        self._other = other
        self._full_for = 0
        self._stopped: list[subprocess.Popen[str]] = []
        self._hostile: list[Path] = []
        self._outside = struck.home.spool.with_name("others") / "outside"  # on the same disk, for hard links
        self._outside.parent.mkdir()
        self._outside.write_bytes(SECRET * 10)
        self._others = hostile_sessions.beside(self._outside)
        self._copy: tuple[Home, subprocess.Popen[str]] | None = None
        self.blows: Counter[str] = Counter()
        self._ways: Mapping[str, tuple[int, Callable[[], None]]] = {
            "jobs": (8, self._kill_job),
            "agents killed": (4, self._kill_agent),
            "agents stopped": (4, self._stop_agent),
            "continued": (6, self._continue),
            "houses": (2, self._kill_house),
            "copies": (1, self._copied),
            "hostile": (2, self._put_hostile),
            "full disks": (1 if disk else 0, self._fill),
        }

    def strike(self) -> None:
        """One blow: of each kind one, and then by chance."""
        [name] = self.untried[:1] or self._chance.choices(list(self._ways), [often for often, _ in self._ways.values()])
        self._ways[name][1]()
        self.blows[name] += 1
        self._full_for -= 1
        if self._on.cramped and self._full_for <= 0:
            self._make_space()

    @property
    def untried(self) -> list[str]:
        """The kinds of blow that none was of."""
        return [name for name, (often, _) in self._ways.items() if often and not self.blows[name]]

    def rest(self) -> None:
        """There is space again, all go on, and what is hostile is gone, but for what was done with it."""
        self._make_space()
        self._continue()
        self._end_copy()

    def clear(self, received: list[Received]) -> None:
        """Once nothing runs any more: what is hostile goes; nothing outside was changed or read. ``received``: by the other server."""
        for path in [*self._hostile, *(path for path in self._on.home.spool.iterdir() if path.is_symlink())]:
            _remove(path)
        trial, house = self._on.trial, self._on.house
        is_kept = hostile_sessions.beside(self._outside) == self._others
        trial.require(is_kept, trial.made, "files outside the spool were changed")
        stored = (path for path in house.data.rglob("*") if path.is_file())
        leaked = [path.name for path in stored if SECRET in path.read_bytes()]
        trial.require(not leaked, trial.made, f"another file's content is in the house's {leaked}")
        told = [one.target for one in received if house.key in str(one.headers) or house.key.encode() in one.body]
        trial.require(not told, trial.made, f"the house's key went to another server: {told[:3]}")

    def _kill_job(self) -> None:
        self._chance.choice(list(self._on.jobs.values())).strike(self._chance.choice(SIGNALS))

    def _kill_agent(self) -> None:
        agent = self._chance.choice(list(self._on.agents.values()))
        self._on.killed.add(agent.pid)
        agent.send_signal(signal.SIGCONT)
        agent.send_signal(self._chance.choice(SIGNALS))

    def _stop_agent(self) -> None:
        agent = self._chance.choice(list(self._on.agents.values()))
        agent.send_signal(signal.SIGSTOP)
        self._stopped.append(agent)

    def _continue(self) -> None:
        for agent in self._stopped:
            agent.send_signal(signal.SIGCONT)
        self._stopped.clear()

    def _kill_house(self) -> None:
        self._on.house.kill()
        self._on.house.start()

    def _copied(self) -> None:
        """Some sessions of the living spool, as they are in this moment, synced from another place."""
        self._end_copy()
        there = places.place(self._on.trial.home / "there", self._on.house, self._on.home.api_base)
        spool = self._on.home.spool
        # what is hostile stays behind: the copy of a hard link is a file like any other, and rightly sent
        paths = {path for path in spool.iterdir() if layout.is_session_dir(path.name)} - {*self._hostile}
        names = [path.name for path in paths if not path.is_symlink()]
        chosen = self._chance.sample(sorted(names), min(len(names), _COPIED))
        there.spool.mkdir(0o700)
        # files come and go meanwhile
        sources = [str(spool / name) for name in (layout.WRITERS, *chosen)]
        subprocess.run(["cp", "-a", *sources, str(there.spool)], stderr=subprocess.DEVNULL, check=False)
        self._copy = there, there.start("sync", str(there.spool), prefix=(), **places.SMALL)

    def _end_copy(self) -> None:
        """In the middle of what it does, if it is not done."""
        if self._copy is None:
            return
        there, sync = self._copy
        sync.send_signal(self._chance.choice(SIGNALS))
        _, err = sync.communicate()
        self._on.trial.require("Traceback" not in err, self._on.trial.made, f"a copy's sync broke off: {err[-800:]}")
        shutil.rmtree(there.directory)
        self._copy = None

    def _put_hostile(self) -> None:
        if self._on.cramped:
            return
        while len(self._hostile) >= _HOSTILE_AT_ONCE:
            _remove(self._hostile.pop(0))
        kind = self._chance.choice([kind for kind in hostile_sessions.KINDS if kind not in _TOO_LARGE])
        where = (self._on.home.spool, self._outside, self._on.home.api_base, self._other)
        with suppress(FileExistsError):  # some have one id always
            before = hostile_sessions.beside(self._outside)
            self._hostile += hostile_sessions.make(kind, *where, self._chance)
            self._others.update(
                {n: held for n, held in hostile_sessions.beside(self._outside).items() if n not in before}
            )

    def _fill(self) -> None:
        """All that jobs and agents write fails, for some of the next blows."""
        if self._disk is None or self._on.cramped:
            return
        self._on.cramped = True
        for life in self._on.jobs.values():
            life.cramped = True
        found = os.statvfs(self._disk.path)
        self._disk.resize((found.f_blocks - found.f_bfree) * found.f_frsize // 1024 + _SLACK)
        self._full_for = self._chance.randint(5, 20)

    def _make_space(self) -> None:
        if self._disk is not None:
            self._disk.resize(SPACE)
        self._on.cramped = False


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
