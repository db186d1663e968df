"""Row 8p: packets lost and slowed by the kernel, in a network of the row's own, where only its house and its agents are.

That packets were lost, and the line no faster than it was to be, is read from the kernel's own counters.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time

from tests.support import oracle
from tests.support.house import House
from tortures import own_network, places
from tortures.trial import Trial, Unavailable

TITLE = "30 % of packets lost (nft), 128 kbit/s (tc), both (root)"
COUNT = 9
KINDS = ("30 % loss", "128 kbit/s", "128 kbit/s and 10 % loss")
_RATE, _BURST = 16_000, 4096  # bytes a second, and at once
_JOB = """
for n in range(2):
    work = Work(book, f"{sys.argv[2]}{n}.", "a", n)
    work.some(40)
    work.finish()
"""


def run(trial: Trial) -> None:
    if shutil.which("tc") is None:
        raise Unavailable("needs tc")
    own_network.need()
    own_network.within(lambda: _run(trial))


def _run(trial: Trial) -> None:
    _find_out()
    with places.a_house(trial) as house:
        for number, chance in trial.points():
            _point(trial, house, number, chance)


def _find_out() -> None:
    """Whether this kernel slows packets as they are to be."""
    try:
        _slow()
        _clear()
    except OSError as error:
        raise Unavailable(str(error)) from error


def _point(trial: Trial, house: House, number: int, chance: random.Random) -> None:
    kind = KINDS[number % len(KINDS)]
    home = places.place(trial.home / f"home-{number}", house)
    ledger, name = trial.home / f"{number}.ledger", f"packets-{trial.seed}-{number}-"
    home.job(places.WORK + _JOB, str(ledger), name)
    began = time.monotonic()
    try:
        if "kbit" in kind:
            _slow()
        if "loss" in kind:
            own_network.lose(house.port, 30 if kind.startswith("30") else 10)
        done = places.sync_until_done(home, tries=4, **places.SMALL, TRACEHOUSE_TIMEOUT=str(chance.choice([5, 20])))
        places.check_sync(trial, number, done, code=None)
        _check_line(trial, number, kind, time.monotonic() - began)
    finally:
        _clear()
    trial.notes.append(f"{kind}: {'all arrived meanwhile' if done.code == 0 else 'the rest once it was over'}")
    places.check_sync(trial, number, places.sync_until_done(home))
    places.check_verify(trial, number, home)
    trial.add(number, places.verdict(house, name, oracle.Account().add(ledger)), f"{kind}:")


def _check_line(trial: Trial, number: int, kind: str, took: float) -> None:
    """It was as bad as it was to be. ``took``: seconds, at most."""
    if "loss" in kind:
        trial.require(own_network.dropped() > 0, number, f"{kind}: no packet was lost")
    if "kbit" in kind:
        told = json.loads(_do("tc -s -j qdisc show dev lo"))[0]
        passed, is_slow = int(told["bytes"]), told["kind"] == "tbf" and told["overlimits"] > 0
        is_slow = is_slow and _BURST < passed <= _RATE * took + _BURST
        trial.require(is_slow, number, f"{kind}: {passed} bytes in {took:.1f} s: {told}")


def _slow() -> None:
    _do(f"tc qdisc add dev lo root tbf rate {8 * _RATE}bit burst {_BURST}b latency 300ms")


def _clear() -> None:
    _do("tc qdisc del dev lo root", check=False)
    own_network.clear()


def _do(words: str, *, check: bool = True) -> str:
    done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise OSError(f"{words}: {done.stderr.strip()}")
    return done.stdout
