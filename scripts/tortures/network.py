"""Row 8: a network, and servers, of every bad kind, between an agent and a house: each record in the house once, whatever happened.

A point counts where a request that carries records met with its fault: half of the points strike from the first request on, half of them
only such. Once all is well a running agent brings by itself what it had parked; and in the dead letters lies only what a server refused for
what it was, or failed at so often that it may be the record's fault.

Loss and slowness are made in user space here, of whole connections; row 8p has them of real packets.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tests.support.proxy import Fault, Proxy
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tests.support.wire import Wire
from tortures import letters, places, ways
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
_SOON = 300.0  # seconds: the longest pause that an agent makes by itself
_PAUSE = 0.3  # seconds between two questions
_IMPATIENT = {**places.SMALL, "TRACEHOUSE_TIMEOUT": "1.5"}


@dataclass
class _Point:
    number: int
    name: str
    kind: str
    way: Proxy | Wire
    code: int | None = None
    is_slow: bool = False  # what an agent has heard may make it wait for long
    wanted: int = 1  # of faults, so that the point counts
    is_well: bool = False  # for now
    struck: list[str] = field(default_factory=list)  # which records the requests carried that met with one, if any

    def __post_init__(self) -> None:
        if isinstance(self.way, Proxy):
            of_request = self.way.rule
            self.way.rule = lambda request: None if self.is_well else self._met(request, of_request(request))
        else:
            of_connection, told = self.way.line, self.way.told
            self.way.line = lambda number: ways.CLEAR if self.is_well else of_connection(number)
            self.way.told = lambda said: self._bitten(said, told)

    def _bitten(self, said: bytes, told: Callable[[bytes], object]) -> None:
        self.struck.append(ways.ANY if ways.said_records(said) else "")
        told(said)

    def _met(self, request: Received, fault: Fault | None) -> Fault | None:
        if fault is not None:
            self.struck.append(ways.carries(request))
        return fault

    @property
    def faults(self) -> int:
        """How many requests, or connections, something bad was really done to."""
        return len(self.struck) if isinstance(self.way, Proxy) else self.way.bites

    @property
    def is_met(self) -> bool:
        """By what carried records, too."""
        return self.faults >= self.wanted and any(self.struck)


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
    name, turn = f"net-{trial.seed}-{number}.", number // 2
    if number % 2:
        code, after = ways.refusals(turn)
        late = (turn + turn // len(ways.STATUSES)) % 2 == 1
        way = ways.of_status(house.url, code, after, chance, late)
        return _Point(number, name, f"status {code}", way, code, ways.is_heeded_long(code, after), len(after))
    kind = list(ways.KINDS)[turn % len(ways.KINDS)]
    late = turn // len(ways.KINDS) % 2 == 1
    return _Point(number, name, kind, ways.KINDS[kind](house.url, chance, name, late))


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
        _check_letters(trial, home, points)
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
        unmet = [one for one in points if not one.is_met]
        if not unmet:
            return
        home.job(places.WORK + _JOB, str(ledger), f"more{turn}", *_words(unmet))
        places.check_sync(trial, points[-1].number, home.sync("--jobs", "64", **_IMPATIENT), code=None)
    for point in (one for one in points if not one.is_met):
        trial.violated(point.number, f"{point.kind}: {point.faults} of {point.wanted} faults met: {point.struck}")


def _served(trial: Trial, house: House, home: Home, points: list[_Point], words: tuple[str, ...]) -> None:
    """The agent itself, while a job logs to all of them: it neither ends nor hangs, one with a clear way has all it needs, and so has
    each, in time, whose way becomes clear."""
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
        _check_resumed(trial, house, home, points, Path(words[0]))
    finally:
        agent.terminate()
        code = agent.wait(60)
    trial.require(code == 0, last, f"the agent ended with {code}: {log.read_text()[-1500:]}")
    trial.require("Traceback" not in log.read_text(), last, f"the agent broke off: {log.read_text()[-1500:]}")
    trial.add(last, places.verdict(house, name, account), "beside them all:")


def _check_resumed(trial: Trial, house: House, home: Home, points: list[_Point], ledger: Path) -> None:
    """The agent, still running, brings what it had parked, where all is well now; those that were not met with enough are so no more."""
    account = oracle.Account().add(ledger)
    healed = [point for point in points if point.kind != ways.POISON]
    _heal(healed)
    until = time.monotonic() + _SOON
    refused = letters.of(home)
    for point in (one for one in healed if not one.is_slow):
        wanted, asked_at = _of(account, point.name), 0.0

        def has_come(point: _Point = point, wanted: oracle.Account = wanted) -> bool:
            nonlocal asked_at
            if time.monotonic() - asked_at < _PAUSE:
                return False  # the house has more to do than to be asked
            if not refused[point.name] and not places.verdict(house, point.name, wanted).good:
                refused.update(letters.of(home))
                asked_at = time.monotonic()
                return bool(refused[point.name])
            return True

        try:
            wait_until(has_come, timeout=max(1.0, until - time.monotonic()))
        except AssertionError:
            told = places.verdict(house, point.name, wanted).text()
            trial.violated(point.number, f"{point.kind}: a running agent does not bring, once all is well: {told}")
    for point in points:
        point.is_well = point.is_met and point.kind != ways.POISON


def _check_letters(trial: Trial, home: Home, points: list[_Point]) -> None:
    """Nothing was taken for refused that was not."""
    found = letters.of(home)
    for point in points:
        for letter in found[point.name]:
            may_be = letters.is_refused(letter, point.code) or letters.is_failed(letter, point.struck)
            trial.require(may_be, point.number, f"{point.kind}: in the dead letters: {letter}; struck: {point.struck}")


def _was_met(point: _Point) -> bool:
    return bool(point.way.received if isinstance(point.way, Proxy) else point.way.connections)


def _is_of(item: oracle.Item, name: str) -> bool:
    return str(item[1]).startswith(name)


def _of(account: oracle.Account, name: str) -> oracle.Account:
    begun, done = ({item for item in of if item[1].startswith(name)} for of in (account.begun, account.done))
    return oracle.Account(begun, done)


def _heal(points: list[_Point]) -> None:
    for point in points:
        point.is_well = True


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
    gone = {point.name for point in points if point.code == 410}  # whoever deletes is obeyed: it stays
    for _ in range(_MOST_ROUNDS):
        done = home.sync("--json")
        places.check_sync(trial, last, done, code=None)
        if all(one["id"].removesuffix("-chat") in gone for one in done.json["left"]):
            break
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
