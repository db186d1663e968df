"""What must have become of all that the soak's jobs logged, once everything is over."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.support import oracle
from tortures import places
from tortures.field import Field
from tortures.lives import Life

__all__ = ["reckon"]

_TRIES = 6
_TORN = "are no record"
_LOST = re.compile(
    r"([\d,]+) records were deleted here after they were acknowledged, and the server has lost them since"
)
# one, and its last line
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*(.*)")


def reckon(on: Field) -> None:
    """Upload what is left, and judge."""
    on.resume()
    # what somebody on the way refused, the house has never seen
    on.home.run("deadletters", "retry", str(on.home.spool))
    _sync(on, _TRIES)
    told = _Told(on)
    told.check()
    for name, account, held in _pairs(on):
        told.judge(name, account, held)
    on.trial.notes.append(f"{told.gone} records that were deleted here and lost there, as told")
    # an agent that is interrupted as it begins is Python's to tell of
    broken = [found[0] for found in _TRACEBACK.finditer(on.log()) if found[1] != "KeyboardInterrupt"]
    on.trial.require(not broken, on.trial.made, f"an agent broke off: {''.join(broken)[:1500]}")


def _sync(on: Field, tries: int) -> None:
    """Until all is there, but for what was deleted there."""
    # a job that a full disk gave no lock is not known to have died
    done = on.home.sync("--close-dead", "--json")
    places.check_sync(on.trial, on.trial.made, done, code=None)
    left = [one for one in done.json["left"] if one["id"] not in on.deleted]
    if left and tries > 1:
        _sync(on, tries - 1)
    else:
        on.trial.require(not left, on.trial.made, f"sync ended with {done.code}: {left[:5]} {done.err[-500:]}")


def _pairs(on: Field) -> list[tuple[str, oracle.Account, Counter[oracle.Item]]]:
    """What was logged and what is held, by the names of runs."""
    accounts: defaultdict[str, oracle.Account] = defaultdict(oracle.Account)
    for life in on.lives:
        accounts[life.name].join(life.account())
    held: defaultdict[str, Counter[oracle.Item]] = defaultdict(Counter)
    with on.house.client() as client:
        for item, count in oracle.in_house(client, "soak-").items():
            held[_name(item[1])][item] = count
    return [(name, accounts[name], held[name]) for name in sorted({*accounts, *held})]


def _name(of: str) -> str:
    """Which run or attempt of one an id belongs to."""
    return of.partition(".")[0] + "."


def _session(item: oracle.Item) -> str:
    """The id of the session that an item's record is in: a rollout's are in its run's."""
    return str(item[1]) if str(item[1]).endswith("-chat") else _name(str(item[1]))


@dataclass
class _Told:
    """What ``status`` and ``verify`` tell of each session, by its id: nothing else excuses a loss."""

    on: Field
    status: dict[str, dict[str, Any]] = field(init=False)
    problems: dict[str, list[str]] = field(init=False)
    gone: int = 0

    def __post_init__(self) -> None:
        home = self.on.home
        self.status = {one["id"]: one for one in home.run("status", str(home.spool), "--json").json["sessions"]}
        proofs = home.run("verify", str(home.spool), "--json").json["sessions"]
        self.problems = {one["id"]: one["problems"] + ([] if one["asked"] else ["not asked"]) for one in proofs}

    @cached_property
    def here(self) -> Counter[oracle.Item]:
        return oracle.in_spool(self.on.home.spool)

    @cached_property
    def dropped(self) -> Counter[str]:
        """How many records were told to be dropped, by session: by the agents where the records themselves are deleted."""
        by_agents = Counter({of: int(one["dropped"]) for of, one in self.status.items()})
        return by_agents | oracle.dropped_by_session(self.on.home.spool)

    def check(self) -> None:
        """``verify`` doubts what it has a reason to, and nothing else."""
        cramped = {life.name for life in self.on.lives if life.cramped}
        damaged = {of: size for life in self.on.lives for of, size in life.damaged.items()}
        for name, problems in self.problems.items():
            if self.is_deleted(name):
                self._require(bool(problems), f"verify is silent on {name}, which was deleted there")
                continue
            told = sum(int(one.split()[0].replace(",", "")) for one in problems if _TORN in one)
            self._require(
                self._tells(name, told, damaged.get(name, 0)), f"verify tells only {told} of {damaged} on {name}"
            )
            others = [
                one
                for one in problems
                if not (_TORN in one and (_name(name) in cramped or name in damaged))
                and not self._is_lost_there(name, one)
            ]
            self._require(not others, f"verify on {name}: {others[:5]}")

    def _tells(self, name: str, told: int, damaged: int) -> bool:
        """Whether so many damaged bytes are told: what was deleted here was so by ``status``, and what is lost there too as lost."""
        known = int(self.status.get(name, {}).get("damaged_bytes", 0))
        return damaged in (0, told, known) or self._forgotten(name) > 0

    def is_deleted(self, name: str) -> bool:
        """Whether a session's run was deleted at the house as it is now, or an agent has heard that it was before."""
        at = self.on.deleted.get(name)
        return at is not None and (at > self.on.wiped_at or self._trouble(name).startswith("410"))

    def _trouble(self, name: str) -> str:
        return str(self.status.get(name, {}).get("trouble", ""))

    def _is_lost_there(self, name: str, problem: str) -> bool:
        found = _LOST.match(problem)
        is_told = found is not None and int(found[1].replace(",", "")) == self._forgotten(name)
        return is_told and bool(self._before(_name(name)))

    def _forgotten(self, name: str) -> int:
        return int(self.status.get(name, {}).get("forgotten", 0))

    def _before(self, name: str) -> list[Life]:
        """A run's jobs that began before the house lost all."""
        return [life for life in self.on.lives if life.name == name and life.began < self.on.wiped_at]

    def judge(self, name: str, account: oracle.Account, held: Counter[oracle.Item]) -> None:
        if self.is_deleted(name):
            self._check_late(name)
            account.done = {item for item in account.done if _session(item) != name}
            account.begun = {item for item in account.begun if _session(item) != name}
        account.done -= self._lost_there(name, {item for item in account.done if not held[item]})
        lives = [life for life in self.on.lives if life.name == name and life.may_drop]
        # what one life was told to have dropped is no excuse for what another lost that had no reason to, nor for a promise
        excused = set().union(*(one.done - one.promised for one in map(Life.account, lives))) & account.done
        dropped = self._dropped({item for item in excused if not held[item]}, sum(life.told for life in lives))
        self.on.trial.add(self.on.trial.made, oracle.judge(account, held, dropped=dropped), f"{name}:")

    def _dropped(self, missing: set[oracle.Item], at_end: int) -> int:
        """How many of these were told to be lost: of each session no more than it tells, and at the jobs' ends ``at_end`` more."""
        by_session = Counter(map(_session, missing))
        told = sum((by_session & self.dropped).values())
        return told + min(at_end, len(missing) - told)

    def _check_late(self, name: str) -> None:
        """What was logged to a run after it was deleted there stays here."""
        late: set[oracle.Item] = set()
        for life in self.on.lives:
            if life.name == name and life.began > self.on.deleted[name] and not life.may_drop:
                late |= {item for item in life.account().done if _session(item) == name}
        left = late.difference(self.here) if late else set()
        self._require(not left, f"{name} was deleted there; late, and not here: {sorted(left)[:3]}")

    def _lost_there(self, name: str, missing: set[oracle.Item]) -> set[oracle.Item]:
        """What was deleted here, and lost by the house since: of each session no more than is told."""
        if not missing or not self.on.wiped_at:
            return set()
        before = {item for life in self._before(name) for item in life.account().done}
        gone = (missing & before).difference(self.here)
        by_session: defaultdict[str, set[oracle.Item]] = defaultdict(set)
        for item in gone:
            by_session[_session(item)].add(item)
        told = [items for of, items in by_session.items() if len(items) <= self._forgotten(of)]
        self.gone += sum(map(len, told))
        return set().union(*told)

    def _require(self, holds: bool, what: str) -> None:
        self.on.trial.require(holds, self.on.trial.made, what)
