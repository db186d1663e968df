"""Agents of the soak that are stopped for a while, some for longer than their leases last."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tortures.field import Field
from tortures.leases import grow_old, holder_of

__all__ = ["Stops"]

_LOOKS = 40  # at what an agent does, for a moment in which it holds a lease


class Stops:
    """``taken``: leases of stopped agents that others took over. ``later``: have something done after so many blows."""

    def __init__(self, field: Field, chance: random.Random, later: Callable[[int, Callable[[], None]], None]) -> None:
        self.taken = 0
        self._on = field
        self._chance = chance
        self._later = later
        self._stopped: list[subprocess.Popen[str]] = []
        self._beyond: subprocess.Popen[str] | None = None
        self._expired: dict[Path, object] = {}

    def stop(self) -> None:
        """One of them, until all go on."""
        agent = self._chance.choice([agent for agent in self._on.agents.values() if agent is not self._beyond])
        agent.send_signal(signal.SIGSTOP)
        self._stopped.append(agent)

    def go_on(self) -> None:
        for agent in self._stopped:
            agent.send_signal(signal.SIGCONT)
        self._stopped.clear()

    def stop_beyond(self) -> bool:
        """One of them in the middle of what it does, for longer than its leases last; others may take these over."""
        self.go_on()
        if self._beyond is not None:
            return False
        agent = self._beyond = self._chance.choice(list(self._on.agents.values()))
        agent.send_signal(signal.SIGSTOP)
        for _ in range(_LOOKS):
            if self._expire(agent.pid):
                break
            agent.send_signal(signal.SIGCONT)
            time.sleep(self._chance.uniform(0.001, 0.02))  # another moment of what it does
            agent.send_signal(signal.SIGSTOP)
        self._later(self._chance.randint(10, 30), self._go_on_beyond)
        return True

    def _go_on_beyond(self) -> None:
        """Whoever holds by now what was its."""
        if self._beyond is None:
            return
        if self._beyond.pid not in self._on.killed:
            # what is gone was given up by another, which had taken it over
            self.taken += sum(holder_of(path) != was for path, was in self._expired.items())
        self._expired.clear()
        self._beyond.send_signal(signal.SIGCONT)
        self._beyond = None

    def _expire(self, pid: int) -> bool:
        """All leases that a stopped agent holds, if any."""
        held = {path: holder_of(path) for path in self._on.home.spool.glob("*/upload/lease")}
        ours = {path: holder for path, holder in held.items() if holder and holder[0] == pid}
        for path in ours:
            grow_old(path)
        self._expired.update(ours)
        return bool(ours)
