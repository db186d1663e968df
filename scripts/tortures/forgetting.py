"""Row 13: sessions that go on after they were pruned, while they are pruned, at a house that forgot them, that forgot what was pruned
here, that deleted them, that lost everything, or that changed its key."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support import oracle
from tests.support.home import Held
from tests.support.house import House
from tortures import places
from tortures.pausing import pausing
from tortures.trial import Trial
from tracehouse.spool import layout
from tracehouse.spool.keys import save_key

TITLE = (
    "resume after prune, prune racing a writer, a house wiped, a session forgotten (404), also after prune, "
    "deleted there (410), a key rotated"
)
COUNT = 100
_JOB = """
work = Work(book, sys.argv[2], sys.argv[3], sys.argv[3])
for line in sys.stdin:
    start, count = map(int, line.split())
    work.some(count, start=start)
    print("done", flush=True)
work.finish()
"""
# the only grace that lets a row of this length see a deletion
_AT_ONCE = {"TRACEHOUSE_RETENTION_GRACE": "0"}
_PASSES = 8  # one uploads, one deletes; the end of a killed job may take another


class _Point:
    """One run through its lives, up to an ending and one life beyond it."""

    def __init__(self, trial: Trial, house: House, number: int, chance: random.Random) -> None:
        self.trial, self.house, self.number, self.chance = trial, house, number, chance
        self.home = places.place(trial.home / str(number), house)
        self.log_in()
        self.name = f"forget-{trial.seed}-{number}"
        self.lives = 0
        self.story: list[str] = []
        self.met = 0
        self.is_deleted = False
        self.gone = 0  # of so many lives: what they logged is nowhere any more
        self.before = trial.home / f"before-{number}"

    def play(self) -> str:
        """All of it; the ending's name."""
        endings = [self.forgotten, self.deleted, self.rotate, self.wiped, self.pruned, self.forgotten_after_prune]
        ending = endings[(self.number + self.trial.seed) % len(endings)]
        acts: list[Callable[[], None]] = [self.live, self.rotate, self.sync]
        if ending in (self.forgotten, self.wiped, self.forgotten_after_prune):
            # what a house loses that was deleted here is lost: only the ending that is about this deletes before
            self.back_up()
        else:
            acts += [self.prune, self.race]
        self.live()
        for act in [*self.chance.choices(acts, k=4), ending]:
            self.story.append(act.__name__)
            act()
        self.live()
        self.judge()
        return ending.__name__

    def log_in(self) -> None:
        """A profile's key may change: what it had acknowledged stays acknowledged."""
        self.home.environ.pop("TRACEHOUSE_API_KEY", None)
        config = self.home.environ["TRACEHOUSE_CONFIG_DIR"]
        save_key(self.house.key, self.house.url, "default", source="login", config_dir=config)

    def back_up(self) -> None:
        """Keep what the house has of somebody else's."""
        other = places.place(self.trial.home / str(self.number) / "other", self.house)
        other.job('run = cm.TrainingRun(client_run_id="other", name="other"); run.log({"a": 1}, step=1); run.finish()')
        places.check_sync(self.trial, self.number, other.sync())
        self.house.stop()
        shutil.copytree(self.house.data, self.before)
        self.house.start()

    def _begin(self) -> subprocess.Popen[str]:
        ledger = self._ledger(self.lives)
        self.lives += 1
        return self.home.start_job(places.WORK + _JOB, str(ledger), self.name, f"life{self.lives}")

    def _tell(self, job: subprocess.Popen[str], start: int, count: int) -> None:
        assert job.stdin is not None
        assert job.stdout is not None
        job.stdin.write(f"{start} {count}\n")
        job.stdin.flush()
        assert job.stdout.readline() == "done\n"

    def _end(self, job: subprocess.Popen[str]) -> None:
        kills = self.chance.random() < 0.3
        if kills:
            job.kill()
        _, err = job.communicate(timeout=60)
        self.trial.require(
            kills or job.returncode == 0, self.number, f"a job ended with {job.returncode}: {err[-500:]}"
        )

    def live(self) -> None:
        """A job from its beginning to its end, perhaps with a sync in the middle."""
        job = self._begin()
        self._tell(job, 0, self.chance.randint(5, 40))
        if self.chance.random() < 0.3:
            self.sync()
        self._tell(job, 100, self.chance.randint(5, 40))
        self._end(job)

    def sync(self) -> None:
        places.check_sync(self.trial, self.number, self.home.sync(**places.SMALL), code=None)

    def prune(self) -> None:
        """Upload everything, and delete it here."""
        done = places.run_once(self.home, **_AT_ONCE)
        for _ in range(1, _PASSES):
            if not self._segments():
                break
            done = places.run_once(self.home, **_AT_ONCE)
        places.check_sync(self.trial, self.number, done)
        left = self._segments()
        self.trial.require(
            not left, self.number, f"{' → '.join(self.story)}: not deleted: {left[:3]}: {done.err[-900:]}"
        )

    def _segments(self) -> list[str]:
        return sorted(str(path) for path in self.home.spool.glob("*/*.jsonl") if layout.parse_segment_name(path.name))

    def race(self) -> None:
        """A job begins, and writes, in the middle of an agent's deletion."""
        self.live()
        # it notes what is settled, and deletes nothing: the agent that comes then begins with that
        places.check_sync(self.trial, self.number, places.run_once(self.home))
        with pausing(self.home, self.chance, **_AT_ONCE) as agent:
            begun = agent.deletes()
            self.trial.require(begun, self.number, f"no deletion began: {agent.log()}")
            job = self._begin()
            goes_on = self.chance.choice([0, 20, 40, 60])
            for start in range(0, 60, 20):
                if start == goes_on:
                    agent.go_on()
                self._tell(job, start, 20)
            agent.go_on()
            self._end(job)
            self.met += begun
        self.trial.require(agent.code == 0, self.number, f"the agent ended with {agent.code}: {agent.log()}")
        self.trial.require("Traceback" not in agent.log(), self.number, f"the agent broke off: {agent.log()}")

    def pruned(self) -> None:
        self.prune()
        self.race()

    def rotate(self) -> None:
        """The house gets another key; the agents, too."""
        self.house.stop()
        (self.house.data / "house.key").unlink()
        self.house.start()
        done = self.home.sync()
        places.check_sync(self.trial, self.number, done, code=None)
        self.log_in()

    def wiped(self) -> None:
        """All that the house had, and perhaps its key. What it lost is at hand here once more."""
        self.sync()
        key = (self.house.data / "house.key").read_text()
        self.house.stop()
        shutil.rmtree(self.house.data)
        self.house.data.mkdir(mode=0o700)
        if self.chance.random() < 0.5:
            (self.house.data / "house.key").write_text(key)
            (self.house.data / "house.key").chmod(0o600)
        self.house.start()
        self.log_in()

    def forgotten(self) -> None:
        """The house is as it was before it heard of this run: it has others, and says 404 of this one."""
        self.sync()
        self._put_back()

    def forgotten_after_prune(self) -> None:
        """The same, when the records are not here any more: what comes after is there, and of the rest is told that it is nowhere."""
        self.prune()
        self._put_back()
        self.gone = self.lives

    def _put_back(self) -> None:
        self.house.stop()
        shutil.rmtree(self.house.data)
        shutil.move(self.before, self.house.data)
        self.house.start()
        self.log_in()
        with self.house.client() as client:
            runs = client.get("/v1/runs").json()["runs"]
        assert [one["client_run_id"] for one in runs] == ["other"], runs

    def deleted(self) -> None:
        """Somebody deletes the run there, with its rollouts: what comes after stays here."""
        places.check_sync(self.trial, self.number, places.sync_until_done(self.home))
        with Held(self.house) as there, self.house.client() as client:
            found = [one["id"] for one in there.runs() if one["client_run_id"] == self.name]
            self.is_deleted = [client.delete(f"/v1/runs/{one}").is_success for one in found] == [True]
        self.trial.require(self.is_deleted, self.number, f"not deleted there: {found}")

    def judge(self) -> None:
        where = " → ".join(self.story)
        account = oracle.Account()
        for life in range(self.gone, self.lives):
            account.add(self._ledger(life))
        done = places.sync_until_done(self.home, tries=3)
        places.check_sync(self.trial, self.number, done, code=1 if self.is_deleted else 0)
        if self.is_deleted:
            # the run and its rollouts are gone and stay gone; the trace beside them is whole
            chat = f"{self.name}-chat"
            account.begun, account.done = (
                {one for one in of if one[1] == chat} for of in (account.begun, account.done)
            )
            self.check_kept(where, chat)
        elif self.gone:
            self.check_told(where)
        else:
            places.check_verify(self.trial, self.number, self.home)
        self.trial.add(self.number, places.verdict(self.house, self.name, account), f"{where}:")

    def _ledger(self, life: int) -> Path:
        return self.trial.home / f"{self.number}-{life}.ledger"

    def check_told(self, where: str) -> None:
        """What was deleted here, and which the house then forgot, is told to have been: nothing else knows of it."""
        done = self.home.run("verify", str(self.home.spool), "--json")
        told = {
            one["id"]: not one["proven"] and any("the server has lost" in problem for problem in one["problems"])
            for one in done.json["sessions"]
        }
        wanted = {self.name: True, f"{self.name}-chat": True}
        self.trial.require(told == wanted, self.number, f"{where}: verify is silent on what is gone: {done.out}")

    def check_kept(self, where: str, chat: str) -> None:
        """What was logged to a run after it was deleted there stays in the spool, whatever retention says, and is not proven."""
        places.check_sync(self.trial, self.number, places.run_once(self.home, **_AT_ONCE), code=None)
        late = {item for item in oracle.Account().add(self._ledger(self.lives - 1)).done if item[1] != chat}
        left = late - set(oracle.in_spool(self.home.spool))
        self.trial.require(not left, self.number, f"{where}: late, and neither there nor here: {sorted(left)[:3]}")
        done = self.home.run("verify", str(self.home.spool), "--json")
        proven = {one["id"]: one["proven"] for one in done.json["sessions"]}
        wanted = {chat: True, self.name: False}
        self.trial.require(proven == wanted, self.number, f"{where}: verify says {proven} of a deleted run: {done.out}")


def run(trial: Trial) -> None:
    endings: Counter[str] = Counter()
    met = 0
    for number, chance in trial.points():
        with places.a_house(trial, f"house-{number}") as house:
            point = _Point(trial, house, number, chance)
            endings[point.play()] += 1
            met += point.met
        shutil.rmtree(trial.home / str(number), ignore_errors=True)
        shutil.rmtree(trial.home / f"house-{number}", ignore_errors=True)
    trial.notes.append(", ".join(f"{count} {name}" for name, count in sorted(endings.items())))
    trial.notes.append(f"{met} writers met a deletion")
