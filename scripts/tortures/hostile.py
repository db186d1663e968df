"""Row 11: spools made to harm who reads them. What is sound beside them is uploaded; no key leaves; nothing outside is read."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

from tests.support import oracle
from tests.support.home import Done, Home
from tests.support.house import House
from tests.support.servers import Received, reply, serving
from tortures import hostile_sessions, places
from tortures.hostile_sessions import FORGED, SECRET
from tortures.trial import Trial, Unavailable
from tracehouse.spool import keys

TITLE = (
    "hostile spools: links, pipes, devices, foreign owners, deep JSON, escape sequences, huge manifests, other servers"
)
COUNT = 84
_MOST = 60 << 10  # KiB of memory, where manifests alone are hostile: half of it is what any sync takes
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file: file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""
_GOOD = """
work = Work(book, sys.argv[2], "a", 0)
work.some(20)
work.finish()
"""


def run(trial: Trial) -> None:
    missing = _missing(trial)
    names = [kind for kind in hostile_sessions.KINDS if kind not in missing]
    with places.a_house(trial) as house, serving(reply(200)) as other:
        for number, chance in trial.points():
            kinds = [names[number % len(names)]] if number < len(names) else chance.sample(names, 4)
            _point(trial, house, number, kinds, chance, other.url)
            _check_key(trial, number, other.received, house.key, kinds)


def _missing(trial: Trial) -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ()
    trial.lacks("root", f"hostile sessions with {', '.join(hostile_sessions.ROOTS)}")
    return hostile_sessions.ROOTS


def together(trial: Trial, kinds: list[str]) -> None:
    """Several kinds in one spool. Unavailable where only root can make them."""
    if os.geteuid() != 0 and set(kinds) & set(hostile_sessions.ROOTS):
        raise Unavailable(f"only root can make these: {', '.join(kinds)}")
    with places.a_house(trial) as house, serving(reply(200)) as other:
        for number, chance in trial.points():
            _point(trial, house, number, kinds, chance, other.url)
            _check_key(trial, number, other.received, house.key, kinds)


def _point(trial: Trial, house: House, number: int, kinds: list[str], chance: random.Random, other: str) -> None:
    home = places.place(trial.home / str(number), house)
    outside = home.directory / "others" / "outside"
    outside.parent.mkdir()
    outside.write_bytes(SECRET * 10)
    name = f"good-{trial.seed}-{number}"
    ledger = trial.home / f"{number}.ledger"
    home.job(places.WORK + _GOOD, str(ledger), name)
    _keep_key(home, house, beside_environment=number % 2 == 0)
    made: list[Path] = []
    for kind in kinds:
        made += hostile_sessions.make(kind, home.spool, outside, house.url, other, chance, house.key)
    before = hostile_sessions.beside(outside)
    for done in (
        home.run("status", str(home.spool)),
        home.run("status", str(home.spool), "--json"),
        *(home.run("show", "--spool", str(home.spool), str(path)) for path in made),
        home.sync("--dry-run"),
        _first_sync(trial, number, home, kinds),
        home.sync("--json"),
        places.run_once(home, TRACEHOUSE_RETENTION_GRACE="0"),
        places.run_once(home, TRACEHOUSE_RETENTION_GRACE="0"),
        home.run("deadletters", "list", str(home.spool)),
        home.run("prune", "--older-than", "0", str(home.spool)),
    ):
        _check_output(trial, number, done, kinds)
    _check_good(trial, house, number, home, name, oracle.Account().add(ledger), kinds)
    trial.require(hostile_sessions.beside(outside) == before, number, f"{kinds}: files outside the spool were changed")
    _check_house(trial, house, number, kinds)
    shutil.rmtree(home.directory, ignore_errors=True)


def _keep_key(home: Home, house: House, *, beside_environment: bool) -> None:
    """As a login does; else it would be in the environment alone, which is for one server whatever a manifest says."""
    keys.save_key(house.key, house.url, keys.DEFAULT_PROFILE, config_dir=home.environ["TRACEHOUSE_CONFIG_DIR"])
    if not beside_environment:
        del home.environ["TRACEHOUSE_API_KEY"]


def _first_sync(trial: Trial, number: int, home: Home, kinds: list[str]) -> Done:
    """However deep or large a manifest is, it is not taken into memory."""
    peak = home.directory / "peak"
    done = home.run("sync", str(home.spool), prefix=(sys.executable, "-c", _MEASURED, str(peak)))
    if all(kind.startswith("manifest") for kind in kinds):
        took = int(peak.read_text())
        trial.require(took <= _MOST, number, f"{kinds}: a sync took {took >> 10} MB of memory")
    return done


def _check_output(trial: Trial, number: int, done: Done, kinds: list[str]) -> None:
    told = done.out + done.err
    trial.require("Traceback" not in told, number, f"{kinds}: {told[told.find('Traceback') :][-1500:]}")
    trial.require(done.code in (0, 1, 2), number, f"{kinds}: ended with {done.code}")
    # a carriage return is read as the end of a line
    raw = {char for char in told if not char.isprintable() and char != "\n"}
    trial.require(not raw, number, f"{kinds}: raw control characters {raw} printed")
    forged = [line for line in told.split("\n") if line.startswith(FORGED)]
    trial.require(not forged, number, f"{kinds}: a line of another's printed: {forged}")
    trial.require(SECRET.decode() not in told, number, f"{kinds}: the content of another file was printed")


def _check_good(
    trial: Trial, house: House, number: int, home: Home, name: str, account: oracle.Account, kinds: list[str]
) -> None:
    """What is sound is there, and proven, whatever ``verify`` finds beside it."""
    trial.add(number, places.verdict(house, name, account), f"beside {kinds}:")
    done = home.run("verify", str(home.spool))
    _check_output(trial, number, done, kinds)
    doubts = [line for line in done.err.splitlines() if line.startswith(name)]
    trial.require("sessions proven" in done.out and not doubts, number, f"{kinds}: verify says {doubts}: {done.out}")


def _check_house(trial: Trial, house: House, number: int, kinds: list[str]) -> None:
    stored = (path for path in house.data.rglob("*") if path.is_file())
    leaked = [path.name for path in stored if SECRET in path.read_bytes()]
    trial.require(not leaked, number, f"{kinds}: the content of another file was uploaded, into {leaked}")


def _check_key(trial: Trial, number: int, received: list[Received], key: str, kinds: list[str]) -> None:
    leaked = [one.target for one in received if key in f"{one.target} {one.headers}" or key.encode() in one.body]
    trial.require(not leaked, number, f"{kinds}: the house's key went to another server: {leaked[:3]}")
