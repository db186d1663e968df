"""Row 8: a network, and servers, of every bad kind, between an agent and a house: each record in the house once, whatever happened.

Loss and slowness are made in user space here, of whole connections; row 8p has them of real packets.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy
from tests.support.waiting import wait_until
from tests.support.wire import Wire
from tortures import places, ways
from tortures.trial import Trial
from tracehouse.spool.keys import save_key

TITLE = (
    "network: lost replies, resets at byte N, loss, 128 kbit/s, flapping, 40 statuses × Retry-After, portals, poison"
)
COUNT = 1000
_AT_ONCE = 100
_MOST_ROUNDS = 10
_JOB = """
for name, url in zip(sys.argv[3::2], sys.argv[4::2]):
    os.environ["TRACEHOUSE_API_BASE"] = url
    work = Work(book, name, sys.argv[2], name)
    for n in range(3): work.span(n + 900)
    work.some(15)
    work.finish()
"""
_IMPATIENT = {**places.SMALL, "TRACEHOUSE_TIMEOUT": "1.5"}


@dataclass
class _Point:
    number: int
    name: str
    kind: str
    way: Proxy | Wire
    wanted: int = 1  # of faults, so that the point counts
    _refused: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.way, Proxy):
            of_request = self.way.rule
            self.way.rule = lambda request: self._met(of_request(request))

    def _met(self, fault: Fault | None) -> Fault | None:
        self._refused += fault is not None
        return fault

    @property
    def faults(self) -> int:
        """How many requests, or connections, something bad was really done to."""
        return self._refused if isinstance(self.way, Proxy) else self.way.bites


def run(trial: Trial) -> None:
    with places.a_house(trial) as house:
        made: list[_Point] = []
        for number, chance in trial.points():
            made.append(_point(trial, house, number, chance))
            if len(made) == _AT_ONCE:
                _play(trial, house, made)
                made = []
        if made:
            _play(trial, house, made)
    turns = map(ways.refusals, range(trial.made // 2)) if trial.only is None else ()
    met = {(code, form) for code, after in turns for form in after}
    trial.notes.append(f"{len(met)} of {len(ways.STATUSES) * len(ways.RETRY_AFTER)} pairs of status and Retry-After")


def _point(trial: Trial, house: House, number: int, chance: random.Random) -> _Point:
    """Every other one is one of the statuses."""
    name = f"net-{trial.seed}-{number}."
    if number % 2:
        code, after = ways.refusals(number // 2)
        return _Point(number, name, f"status {code}", ways.of_status(house.url, code, after, chance), len(after))
    kind = list(ways.KINDS)[number // 2 % len(ways.KINDS)]
    return _Point(number, name, kind, ways.KINDS[kind](house.url, chance, name))


def _play(trial: Trial, house: House, points: list[_Point]) -> None:
    """All of them at once: sessions of one spool, each with a way of its own."""
    last = points[-1].number
    home = places.place(trial.home / f"home-{last}", house)
    home.environ.pop("TRACEHOUSE_API_KEY")
    config = home.environ["TRACEHOUSE_CONFIG_DIR"]
    ledger = trial.home / f"{last}.ledger"
    try:
        for point in points:
            save_key(house.key, point.way.url, "default", source="login", config_dir=config)
        words = (str(ledger), "a", *_words(points))
        if last // _AT_ONCE % 2 == 0:
            _served(trial, house, home, points, words)
        else:
            home.job(places.WORK + _JOB, *words)
            places.check_sync(trial, last, home.sync("--jobs", "64", **_IMPATIENT), code=None)
        places.check_sync(trial, last, home.sync("--jobs", "64", **_IMPATIENT), code=None)
        _meet_all(trial, home, ledger, points)
        account = oracle.Account().add(ledger)
        _heal([point for point in points if point.kind != ways.POISON])
        _check_poison(trial, house, home, account, points)
        _heal(points)
        home.run("deadletters", "retry", str(home.spool))
        _judge(trial, house, home, account, points)
    finally:
        for point in points:
            point.way.stop()


def _words(points: list[_Point]) -> list[str]:
    return [word for one in points for word in (one.name, one.way.url)]


def _meet_all(trial: Trial, home: Home, ledger: Path, points: list[_Point]) -> None:
    """Where too little that is bad was met by chance, more is logged and sent, until enough is."""
    for turn in range(_MOST_ROUNDS):
        unmet = [one for one in points if one.faults < one.wanted]
        if not unmet:
            return
        home.job(places.WORK + _JOB, str(ledger), f"more{turn}", *_words(unmet))
        places.check_sync(trial, points[-1].number, home.sync("--jobs", "64", **_IMPATIENT), code=None)
    for point in (one for one in points if one.faults < one.wanted):
        trial.violated(point.number, f"{point.kind}: only {point.faults} of {point.wanted} faults met")


def _served(trial: Trial, house: House, home: Home, points: list[_Point], words: tuple[str, ...]) -> None:
    """The agent itself, while a job logs to all of them: it neither ends nor hangs, and one with a clear way has all it needs."""
    last = points[-1].number
    config = home.environ["TRACEHOUSE_CONFIG_DIR"]
    save_key(house.key, house.url, "default", source="login", config_dir=config)
    agent = home.start_agent(TRACEHOUSE_JOBS="64", **_IMPATIENT)
    log = home.directory / "agent.log"
    try:
        home.job(places.WORK + _JOB, *words)
        wait_until(lambda: all(map(_was_met, points)) or agent.poll() is not None, what=lambda: f"all to be met: {log}")
        name, ledger = f"clear-{trial.seed}-{last}.", str(trial.home / f"clear-{last}.ledger")
        home.job(places.WORK + _JOB, ledger, "a", name, house.url)
        account = oracle.Account().add(ledger)
        try:
            wait_until(lambda: places.verdict(house, name, account).good or agent.poll() is not None)
        except AssertionError:
            trial.violated(last, f"the agent hangs: {log.read_text()[-1500:]}")
        trial.require(agent.poll() is None, last, f"the agent ended with {agent.returncode}: {log.read_text()[-1500:]}")
    finally:
        agent.terminate()
        code = agent.wait(60)
    trial.require(code == 0, last, f"the agent ended with {code}: {log.read_text()[-1500:]}")
    trial.require("Traceback" not in log.read_text(), last, f"the agent broke off: {log.read_text()[-1500:]}")
    trial.add(last, places.verdict(house, name, account), "beside them all:")


def _was_met(point: _Point) -> bool:
    return bool(point.way.received if isinstance(point.way, Proxy) else point.way.connections)


def _is_of(item: oracle.Item, name: str) -> bool:
    return str(item[1]).startswith(name)


def _of(account: oracle.Account, name: str) -> oracle.Account:
    begun, done = ({item for item in of if item[1].startswith(name)} for of in (account.begun, account.done))
    return oracle.Account(begun, done)


def _heal(points: list[_Point]) -> None:
    for point in points:
        if isinstance(point.way, Proxy):
            point.way.rule = lambda request: None
        else:
            point.way.line = lambda number: ways.CLEAR


def _check_poison(trial: Trial, house: House, home: Home, account: oracle.Account, points: list[_Point]) -> None:
    """One bad record, and a server that fails at it for ever, hold nothing else back for long."""
    wrong: dict[int, str] = {}
    for _ in range(_MOST_ROUNDS):
        places.check_sync(trial, points[-1].number, home.sync("--jobs", "64", **_IMPATIENT), code=None)
        wrong = {}
        for point in (one for one in points if one.kind == ways.POISON):
            wanted = _of(account, point.name)
            wanted.done = {item for item in wanted.done if not ways.is_poison(point.name, item)}
            verdict = places.verdict(house, point.name, wanted)
            if not verdict.good:
                wrong[point.number] = verdict.text()
        if not wrong:
            return
    for number, told in wrong.items():
        trial.violated(number, f"beside a poisoned record: {told}")


def _judge(trial: Trial, house: House, home: Home, account: oracle.Account, points: list[_Point]) -> None:
    last = points[-1].number
    done = places.sync_until_done(home)
    places.check_sync(trial, last, done, code=None)
    status = {one["id"]: one for one in home.run("status", str(home.spool), "--json").json["sessions"]}
    proofs = {one["id"]: one for one in home.run("verify", str(home.spool), "--json").json["sessions"]}
    here = set(oracle.in_spool(home.spool))
    verdicts = places.verdicts(house, {one.name: _of(account, one.name) for one in points})
    for point in points:
        verdict = verdicts[point.name]
        for name in (point.name, f"{point.name}-chat"):
            told = str(status[name]["trouble"])
            if point.kind == "status 410" and told.startswith("410"):
                # whoever deletes is obeyed: all of it stays in the spool
                verdict.lost = [item for item in verdict.lost if not (_is_of(item, name) and item in here)]
            else:
                trial.require(proofs[name]["proven"], point.number, f"{point.kind}: not proven: {proofs[name]}: {told}")
        trial.add(point.number, verdict, f"{point.kind}:")
