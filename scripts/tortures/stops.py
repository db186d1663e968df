"""Agents of the soak that are stopped for a while, some for longer than their leases last."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tortures.field import Field

__all__ = ["Stops"]

_LOOKS = 40  # at what an agent does, for a moment in which it holds a lease
_BEYOND = 600.0


class Stops:
    """``taken``: leases of stopped agents that others took over."""

    def __init__(self, field: Field, chance: random.Random) -> None:
        self.taken = 0
        self._on = field
        self._chance = chance
        self._stopped: list[subprocess.Popen[str]] = []
        self._expired: dict[Path, object] = {}

    def stop(self) -> None:
        self._stop(self._chance.choice(list(self._on.agents.values())))

    def stop_beyond(self) -> None:
        """One of them in the middle of what it does, with leases that have grown old; the others go on, and may take them over."""
        self.go_on()
        agent = self._chance.choice(list(self._on.agents.values()))
        self._stop(agent)
        for _ in range(_LOOKS):
            if self._expire(agent.pid):
                return
            agent.send_signal(signal.SIGCONT)
            time.sleep(self._chance.uniform(0.001, 0.02))  # another moment of what it does
            agent.send_signal(signal.SIGSTOP)

    def _expire(self, pid: int) -> bool:
        """All leases that a stopped agent holds, if any."""
        held = {path: _holder(path) for path in self._on.home.spool.glob("*/upload/lease")}
        ours = {path: holder for path, holder in held.items() if holder and holder[0] == pid}
        for path in ours:
            _grow_old(path)
        self._expired.update(ours)
        return bool(ours)

    def _stop(self, agent: subprocess.Popen[str]) -> None:
        agent.send_signal(signal.SIGSTOP)
        self._stopped.append(agent)

    def go_on(self) -> None:
        """All that are stopped, whoever holds by now what was theirs."""
        self.taken += sum(_holder(path) not in (None, was) for path, was in self._expired.items())
        self._expired.clear()
        for agent in self._stopped:
            agent.send_signal(signal.SIGCONT)
        self._stopped.clear()


def _holder(path: Path) -> tuple[int, str] | None:
    try:
        fields = json.loads(path.read_text())
        return fields["pid"], fields["token"]
    except (OSError, ValueError):
        return None


def _grow_old(path: Path) -> None:
    """As if its holder had been stopped for so long: no heartbeat came."""
    then = time.time() - _BEYOND
    try:
        os.utime(path, (then, then))
    except FileNotFoundError:
        return
