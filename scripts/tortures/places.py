"""A house and the places of jobs beside it, as all rows need them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support import oracle
from tests.support.home import Done, Home
from tests.support.house import House
from tortures.trial import Trial

WORK = "from tests.support.ledger import Ledger\nfrom tests.support.workload import Work\nbook = Ledger(sys.argv[1])\n"
# small requests, so that faults come between them
SMALL = {"TRACEHOUSE_BATCH_POINTS": "8", "TRACEHOUSE_BATCH_SPANS": "5"}
# what a power failure takes of that for which no flush() was True
_BY_POWER = re.compile(
    r"[\d,]+ bytes of segment \S+ are no record: damaged, or torn"
    r"|[\d,]+ records? (was|were) refused: "  # its media file is gone
    r"|[\d,]+ records? (is|are) missing: "  # with a segment's name
    r"|no manifest \("
)


@contextmanager
def a_house(trial: Trial, name: str = "house", *options: str) -> Iterator[House]:
    directory = trial.home / name
    directory.mkdir(exist_ok=True)
    with House(directory / "data", *options) as house:
        yield house


def place(directory: Path, house: House, api_base: str | None = None) -> Home:
    """Where jobs log and agents upload."""
    directory.mkdir(parents=True, exist_ok=True)
    return Home(directory, api_base or house.url).with_key(house.key)


def sync_until_done(home: Home, *words: str, tries: int = 6, **more: str) -> Done:
    """As a user would: again, until it says that all is there; the last answer."""
    done = home.sync(*words, **more)
    for _ in range(tries - 1):
        if done.code == 0:
            break
        done = home.sync(*words, **more)
    return done


def run_once(home: Home, *prefix: str, **more: str) -> Done:
    """``tracehoused run-once``: a pass of the agent, retention too. ``prefix``: words before the command."""
    return home.run_once(*prefix, **more)


def verdict(house: House, prefix: str, account: oracle.Account, **more: object) -> oracle.Verdict:
    """On everything in the house whose id begins so."""
    with house.client() as client:
        held = oracle.in_house(client, prefix)
    return oracle.judge(account, held, **more)  # type: ignore[arg-type]


def verdicts(
    house: House, accounts: Mapping[str, oracle.Account], dropped: Mapping[str, int] | None = None
) -> dict[str, oracle.Verdict]:
    """On several jobs made together: by the name that the ids of each begin with, none of which begins another."""
    names = sorted(accounts)
    common = next(names[0][:n] for n in range(len(names[0]), -1, -1) if names[-1].startswith(names[0][:n]))
    held: dict[str, Counter[oracle.Item]] = {name: Counter() for name in accounts}
    with house.client() as client:
        for item, count in oracle.in_house(client, common).items():
            for name in accounts:
                if item[1].startswith(name):
                    held[name][item] = count
    told = dropped or {}
    return {
        name: oracle.judge(account, held[name], dropped=sum(n for of, n in told.items() if of.startswith(name)))
        for name, account in accounts.items()
    }


def check_verify(trial: Trial, number: int, home: Home) -> None:
    """``tracehouse verify`` proves that all of it is there."""
    done = home.run("verify", str(home.spool))
    trial.require(done.code == 0, number, f"verify ended with {done.code}: {done.out[-300:]} {done.err[-500:]}")


def check_verify_torn(trial: Trial, number: int, home: Home, house: House, name: str, where: str, *words: str) -> None:
    """After a power failure: ``verify`` doubts nothing but what the failure took, and what it proves is there."""
    told = home.run("verify", str(home.spool), "--json", *words).json
    problems = [problem for one in told["sessions"] for problem in one["problems"]]
    # a file that it took may still be brought by a later copy, as long as nobody has told that its writer is dead
    waiting = sum(": media file " in problem for problem in problems)
    awaited = [f"{n:,} records are not acknowledged" for n in range(1, waiting + 1)]
    others = [one for one in problems if not _BY_POWER.match(one) and ": media file " not in one and one not in awaited]
    is_asked = all(one["asked"] or one["problems"] for one in told["sessions"])
    trial.require(is_asked and not others, number, f"{where} verify: {others}")
    with house.client() as client:
        missing = set(oracle.in_spool(home.spool)) - set(oracle.in_house(client, name))
    trial.require(not missing, number, f"{where} not there, and verify says only {problems}: {sorted(missing)[:3]}")


def check_sync(trial: Trial, number: int, done: Done, *, code: int | None = 0) -> None:
    """No sync breaks off; where ``code`` says so, all is uploaded."""
    trial.require("Traceback" not in done.err, number, f"sync broke off: {done.err[-800:]}")
    if code is not None:
        trial.require(done.code == code, number, f"sync ended with {done.code}: {done.out[-300:]} {done.err[-500:]}")
