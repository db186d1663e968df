"""What strikes the soak, of each kind one, and then by chance."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable

from tests.support.servers import Received
from tortures.copies import RSYNC, Copies
from tortures.disks import Disk
from tortures.field import Field
from tortures.fullness import Fullness
from tortures.lives import SIGNALS
from tortures.losses import Losses
from tortures.power_cuts import PowerCuts
from tortures.short_of_memory import ShortOfMemory
from tortures.stops import Stops
from tortures.strangers import Strangers
from tortures.trial import Unavailable
from tortures.weather import Spells, Weather
from tortures.wounds import Wounds


class Nemesis:
    """``disks``: the one that the spool is on, which can be made full, and another, which can lose its power; where there can be none,
    None. ``other``: the url of a server that no key may reach. ``spells``: of packets that are lost, where they can be."""

    def __init__(
        self,
        field: Field,
        chance: random.Random,
        disks: tuple[Disk, Disk] | None,
        other: str,
        weather: Weather,
        spells: Spells | None,
    ) -> None:
        self._on = field
        self._chance = chance
        self._made = 0
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._weather = weather
        self._stops = Stops(field, chance, self._do_later)
        self._strangers = Strangers(field, chance, other)
        self._copies = Copies(field, chance, lambda: self._strangers.here)
        self._cuts = PowerCuts(field, chance, disks[1]) if disks else None
        losses = Losses(field, chance, self._do_later)
        self.blows: Counter[str] = Counter()
        self._ways: dict[str, tuple[float, Callable[[], object]]] = {
            "jobs": (8, self._kill_job),
            "jobs interrupted": (2, self._interrupt_job),
            "agents killed": (4, lambda: self._kill_agent(self._chance.choice(SIGNALS))),
            "agents interrupted": (1, lambda: self._kill_agent(signal.SIGINT)),
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
        if RSYNC is None:
            field.trial.lacks("rsync", "copies by rsync")
        if spells:
            self._ways["lossy or slow lines"] = (2, lambda: spells.begin(chance, self._do_later))
        self._add_those_of_root(disks)

    def _add_those_of_root(self, disks: tuple[Disk, Disk] | None) -> None:
        if disks and self._cuts:
            full = Fullness(self._on, self._chance, disks[0], self._do_later)
            self._ways["full disks"] = (1, full.of_bytes)
            self._ways["full inode tables"] = (1, full.of_inodes)
            self._ways["power cuts"] = (1, self._cuts.cut)
        try:
            self._ways["killed for memory"] = (1, ShortOfMemory(self._on, self._chance).kill)
        except Unavailable as reason:
            self._on.trial.lacks("root", f"jobs killed for memory ({reason})")

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
        if self._cuts:
            self._cuts.rest()

    def judge(self, received: list[Received]) -> None:
        """Once nothing else runs, and the network is well: what is hostile goes. ``received``: by the other server."""
        self._strangers.clear(received)
        if self._cuts:
            self._cuts.judge()

    def _kill_job(self) -> None:
        self._chance.choice(list(self._on.jobs.values())).strike(self._chance.choice(SIGNALS))

    def _interrupt_job(self) -> bool:
        """Its main thread, once it has begun; not one whose other threads would go on, which is row 12's."""
        found = [life for life in self._on.jobs.values() if life.kind != "ways" and life.ledger.exists()]
        if found:
            life = self._chance.choice(found)
            life.codes = (*life.codes, -signal.SIGINT)
            life.strike(signal.SIGINT)
        return bool(found)

    def _kill_agent(self, number: signal.Signals) -> None:
        agent = self._chance.choice(list(self._on.agents.values()))
        self._on.killed.add(agent.pid)
        agent.send_signal(signal.SIGCONT)
        agent.send_signal(number)

    def _kill_house(self) -> None:
        self._on.house.kill()
        self._on.house.start()
