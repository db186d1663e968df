"""What strikes the soak, of each kind one, and then by chance."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable

from tests.support.servers import Received
from tortures.copies import RSYNC, Copies
from tortures.disks import Disk
from tortures.field import Field
from tortures.lives import SIGNALS
from tortures.losses import Losses
from tortures.power_cuts import PowerCuts
from tortures.stops import Stops
from tortures.strangers import Strangers
from tortures.weather import Weather
from tortures.wounds import Wounds

SPACE = 4 << 20  # KiB
_SLACK = 256  # KiB, soon used up


class Nemesis:
    """``disks``: the one that the spool is on, which can be made full, and another, which can lose its power; where there can be none,
    None. ``other``: the url of a server that no key may reach."""

    def __init__(
        self, field: Field, chance: random.Random, disks: tuple[Disk, Disk] | None, other: str, weather: Weather
    ) -> None:
        self._on = field
        self._chance = chance
        self._disk = disks[0] if disks else None
        self._cuts = PowerCuts(field, chance, disks[1]) if disks else None
        self._made = 0
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._weather = weather
        self._stops = Stops(field, chance, self._do_later)
        self._strangers = Strangers(field, chance, other)
        self._copies = Copies(field, chance, lambda: self._strangers.here)
        losses = Losses(field, chance, self._do_later)
        self.blows: Counter[str] = Counter()
        self._ways: dict[str, tuple[float, Callable[[], object]]] = {
            "jobs": (8, self._kill_job),
            "agents killed": (4, self._kill_agent),
            "agents stopped": (4, self._stops.stop),
            "stopped beyond their leases": (2, self._stops.stop_beyond),
            "continued": (6, self._stops.go_on),
            "houses": (2, self._kill_house),
            "flapping": (2, weather.flap),
            "copies": (1, self._copies.copy),
            "copies by rsync": (2 if RSYNC else 0, self._copies.by_rsync),
            "hostile": (2, self._strangers.put),
            "house wiped": (0.3, losses.wipe),
            "runs deleted there": (1, losses.delete),
            "keys rotated": (1, losses.rotate),
            "damaged": (1, Wounds(field, chance).put),
        }
        if self._disk and self._cuts:
            self._ways.update({"full disks": (1, self._fill), "power cuts": (1, self._cuts.cut)})
        if RSYNC is None:
            field.trial.lacks("rsync", "copies by rsync")

    def strike(self) -> None:
        """One blow; one that says False found nothing to strike."""
        shares = dict.fromkeys(self.untried, 1.0) or {name: often for name, (often, _) in self._ways.items()}
        [name] = self._chance.choices(list(shares), list(shares.values()))
        if self._ways[name][1]() is not False:
            self.blows[name] += 1
        self._made += 1
        self._do_due()

    def _do_later(self, blows: int, what: Callable[[], None]) -> None:
        self._later.append((self._made + blows, what))

    def _do_due(self, *, at_once: bool = False) -> None:
        due = [what for at, what in self._later if at_once or at <= self._made]
        self._later = [] if at_once else [(at, what) for at, what in self._later if at > self._made]
        for what in due:
            what()

    @property
    def untried(self) -> list[str]:
        """The kinds of blow that none was of."""
        return [name for name, (often, _) in self._ways.items() if often and not self.blows[name]]

    @property
    def told(self) -> str:
        """What struck, how often."""
        blows = ", ".join(f"{count} {blow}" for blow, count in sorted(self.blows.items()))
        return f"{blows}; {self._stops.taken} leases of stopped agents taken over"

    def rest(self) -> None:
        """There is space again, all have the key, all go on, and the network is well."""
        self._do_due(at_once=True)
        self._stops.go_on()
        self._copies.end()
        self._weather.clear_up()

    def judge(self, received: list[Received]) -> None:
        """Once nothing else runs, and the network is well: what is hostile goes. ``received``: by the other server."""
        self._strangers.clear(received)
        if self._cuts:
            self._cuts.judge()

    def _kill_job(self) -> None:
        self._chance.choice(list(self._on.jobs.values())).strike(self._chance.choice(SIGNALS))

    def _kill_agent(self) -> None:
        agent = self._chance.choice(list(self._on.agents.values()))
        self._on.killed.add(agent.pid)
        agent.send_signal(signal.SIGCONT)
        agent.send_signal(self._chance.choice(SIGNALS))

    def _kill_house(self) -> None:
        self._on.house.kill()
        self._on.house.start()

    def _fill(self) -> bool:
        """All that jobs and agents write fails, for some of the next blows."""
        if self._disk is None or self._on.cramped:
            return False
        self._on.cramped = True
        for life in self._on.jobs.values():
            life.cramped = True
        found = os.statvfs(self._disk.path)
        self._disk.resize((found.f_blocks - found.f_bfree) * found.f_frsize // 1024 + _SLACK)
        self._do_later(self._chance.randint(5, 20), self._make_space)
        return True

    def _make_space(self) -> None:
        if self._disk is not None:
            self._disk.resize(SPACE)
        self._on.cramped = False
