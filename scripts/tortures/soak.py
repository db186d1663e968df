"""Row 14: eight jobs and two agents on one spool, a house behind a network, and a nemesis that strikes any of them at random."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from tests.support.home import Home
from tests.support.house import House
from tests.support.proxy import proxied
from tests.support.servers import reply, serving
from tests.support.wire import wired
from tortures import own_network, places, power_cuts, reckoning
from tortures.disks import Disk, mounted
from tortures.field import Field
from tortures.fullness import INODES, SPACE
from tortures.lives import Cradle
from tortures.nemesis import Nemesis
from tortures.trial import Trial, Unavailable
from tortures.weather import Spells, Weather

TITLE = "soak: 8 jobs, 2 agents, a house, and a random nemesis from the rows above"
MINUTES = 30.0  # in place of a count
_MOST_LATE = 200  # strikes, after which no more are made for the sake of what was not tried yet


def run(trial: Trial, least: int = 0) -> None:
    """``least``: how many blows there must have been, and then some of each kind, and jobs of each."""
    # what begins in a shell's background ignores it, and so would all jobs and agents
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        own_network.need()
    except Unavailable as reason:
        trial.lacks("root", f"packets lost and slowed ({reason})")
        _soak(trial, least, own=False)
    else:
        own_network.within(lambda: _soak(trial, least, own=True))
    finally:
        signal.signal(signal.SIGINT, before)


def _soak(trial: Trial, least: int, *, own: bool) -> None:
    """``own``: the network is the row's own."""
    with ExitStack() as stack:
        house = stack.enter_context(places.a_house(trial))
        weather = Weather(random.Random(f"{trial.seed}/weather"))
        proxy = stack.enter_context(proxied(house.url, weather.rule))
        wire = stack.enter_context(wired(proxy.url, weather.line))
        other = stack.enter_context(serving(reply(200)))
        disks = _disks(trial, stack)
        home = _home(trial, house, wire.url, disks)
        field = Field(trial, home, house, Cradle(trial, home, random.Random(f"{trial.seed}/lives")))
        spells = Spells(int(wire.url.rpartition(":")[2])) if own else None
        nemesis = Nemesis(field, random.Random(trial.seed), disks, other.url, weather, spells)

        def untried() -> list[str]:
            return [*nemesis.untried, *field.cradle.untried, *weather.untried]

        try:
            for chance in _chances(trial, lambda: trial.made >= least and not (least and untried())):
                field.tend()
                _pause(chance.uniform(0.05, 0.4))
                nemesis.strike()
            nemesis.rest()
            field.check_agents()
        finally:
            nemesis.rest()
            field.end(random.Random(trial.seed))
        nemesis.judge(other.received)
        reckoning.reckon(field)
        met = ", ".join(f"{count} {kind}" for kind, count in sorted(weather.met.items()))
        trial.notes.append(
            f"{_kinds(field)}; {len(proxy.received)} requests, of these or their ways {met}; {nemesis.told}"
        )
        enough = trial.made >= least and not (least and untried())
        trial.require(
            enough, trial.made, f"too little was tried, of {least} blows at least: {untried()} {trial.notes[-1]}"
        )
        if trial.violations and disks is not None:
            shutil.copytree(home.spool, trial.home / "spool", symlinks=True)


def _chances(trial: Trial, is_enough: Callable[[], bool]) -> Iterator[random.Random]:
    """Of each blow; on a slow machine there are more than there is time for."""
    for _, chance in trial.points():
        yield chance
    while not is_enough() and trial.made < _MOST_LATE:
        yield random.Random(f"{trial.seed}/{trial.made}")
        trial.made += 1


def _disks(trial: Trial, stack: ExitStack) -> tuple[Disk, Disk] | None:
    """The spool's own, which can be made full, and one that can lose its power; None where there cannot be any."""
    try:
        full = stack.enter_context(mounted(trial.home / "small", "tmpfs", size=SPACE, inodes=INODES))
        return full, stack.enter_context(mounted(trial.home / "weak", "ext4", size=power_cuts.SIZE))
    except (Unavailable, OSError) as reason:
        trial.lacks("root", f"full disks, power cuts ({reason})")
        return None


def _home(trial: Trial, house: House, api_base: str, disks: tuple[Disk, Disk] | None) -> Home:
    home = places.place(trial.home / "home", house, api_base)
    home.patience = 4 * 3600.0  # agents that are killed all the time leave most of it to the sync at the end
    if disks is not None:
        home.spool = disks[0].path / "spool"
        home.environ["TRACEHOUSE_SPOOL_DIR"] = str(home.spool)
    home.spool.mkdir(0o700)
    return home


def _kinds(field: Field) -> str:
    counts = Counter(life.kind for life in field.lives)
    return ", ".join(f"{count} jobs of {kind}" for kind, count in sorted(counts.items()))


def _pause(seconds: float) -> None:
    """The time between two blows is part of what is tried."""
    time.sleep(seconds)
